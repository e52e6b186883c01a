"""Child processes side by side: one that dies takes no other with it, and none outlives its parent."""

import os
import signal
import subprocess
import sys
import time

import pytest
from numpy.testing import assert_equal
from small_runs import environment

from locoprop_ref.experiments import pool
from locoprop_ref.experiments.pool import Command, own_command, run_processes

# a child as the command line starts one: it says its process number in the file whose path it is given
CHILD = """
import os, sys, time
from locoprop_ref.experiments.pool import begin_as_child
begin_as_child()
with open(sys.argv[1] + ".part", "w") as file:
    file.write(str(os.getpid()))
os.replace(sys.argv[1] + ".part", sys.argv[1])
try:
    time.sleep(60)
except KeyboardInterrupt:
    if sys.argv[2] == "stubborn":
        time.sleep(60)
    sys.exit("interrupted")
"""
# a parent with two such children, of which it says how they ended
PARENT = f"""
import sys
from locoprop_ref.experiments.pool import Command, run_processes
commands = [Command(path, [sys.executable, "-c", {CHILD!r}, path, sys.argv[1]]) for path in sys.argv[2:]]
for finished in run_processes(commands, jobs=len(commands)):
    print(finished.return_code, flush=True)
"""


def python(code, *arguments, name="child"):
    return Command(name, [sys.executable, "-c", code, *map(str, arguments)])


def ended(commands, **options):
    return {finished.command.name: finished for finished in run_processes(commands, **options)}


def test_every_command_runs_and_says_how_it_ended(tmp_path):
    codes = {"good": "print('unseen')", "bad": "import sys; sys.exit('first line\\nlocoprop-ref train: why')"}
    found = ended([python(code, name=name) for name, code in codes.items()], jobs=1)
    assert_equal({name: one.return_code for name, one in found.items()}, {"good": 0, "bad": 1})
    assert_equal(found["bad"].last_lines, ("first line", "locoprop-ref train: why"))
    assert_equal(found["bad"].reason, "why")


def test_a_killed_child_is_one_failed_command():
    kill = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    codes = {"killed": kill, "other": "import time; time.sleep(0.3)", "later": "pass"}
    found = ended([python(code, name=name) for name, code in codes.items()], jobs=2)
    assert_equal(
        {name: one.return_code for name, one in found.items()}, {"killed": -9, "other": 0, "later": 0}
    )
    assert_equal(
        found["killed"].reason, "its process died (killed, or out of memory); what was complete is kept"
    )


def test_a_program_that_is_not_there_is_one_failed_command():
    wrong = [Command("no", ["/nothing/by/that/name"]), Command("null", [sys.executable, "\0"])]
    found = ended([*wrong, python("pass", name="yes")], jobs=1)
    assert_equal({name: one.return_code for name, one in found.items()}, {"no": 126, "null": 126, "yes": 0})
    assert "No such file" in found["no"].reason and "null byte" in found["null"].reason


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="processes cannot be bound to cores here")
@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_every_child_has_its_share_of_the_cores(jobs, tmp_path):
    """While all of them run: one that ends leaves its share to the next."""
    told = """
import os, sys, time
folder, name, jobs = sys.argv[1:]
open(os.path.join(folder, name), "w").close()
while len(os.listdir(folder)) < int(jobs):
    time.sleep(0.01)
threads = [os.environ.get(name) for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")]
sys.exit(f"{sorted(os.sched_getaffinity(0))} {threads[0]} {threads[1]}")
"""
    cores, before = sorted(os.sched_getaffinity(0)), os.environ.get("OMP_NUM_THREADS")
    found = ended([python(told, tmp_path, i, jobs, name=str(i)) for i in range(jobs)], jobs=jobs)
    shares = [cores[i % len(cores) :: jobs] for i in range(jobs)]
    wanted = {f"{share} {len(share)} {len(share)}" for share in shares}
    if jobs == 1:
        wanted = {f"{cores} {os.environ.get('OPENBLAS_NUM_THREADS')} {before}"}
    assert_equal({one.last_lines[0] for one in found.values()}, wanted)
    assert_equal(sorted(os.sched_getaffinity(0)), cores)


def test_as_many_at_a_time_as_there_are_jobs(tmp_path):
    code = (
        "import os, sys, time; open(sys.argv[1], 'w').close(); time.sleep(0.2); "
        "seen = len(os.listdir(os.path.dirname(sys.argv[1]))); os.remove(sys.argv[1]); sys.exit(str(seen))"
    )
    found = ended([python(code, tmp_path / str(i), name=str(i)) for i in range(6)], jobs=3)
    assert_equal(max(int(one.last_lines[0]) for one in found.values()), 3)


def test_variables_of_the_environment_reach_the_child():
    code = "import os, sys; sys.exit(os.environ['COMMON'] + os.environ['OWN'])"
    command = Command("x", [sys.executable, "-c", code], {"OWN": "2"})
    assert_equal(ended([command], jobs=1, environment={"COMMON": "1"})["x"].last_lines, ("12",))


def test_a_tick_while_nothing_ends():
    ticks = []
    ended([python("import time; time.sleep(1.3)")], jobs=1, tick=lambda: ticks.append(time.monotonic()))
    assert len(ticks) >= 2


def test_what_has_not_begun_never_begins_after_the_iterator_is_closed(tmp_path):
    sleepy = python("import time; time.sleep(60)", name="sleepy")
    touch = python("import sys; open(sys.argv[1], 'w')", tmp_path / "touched", name="touch")
    running = run_processes([python("pass"), sleepy, touch], jobs=1)
    assert_equal(next(running).return_code, 0)
    begun = time.monotonic()
    running.close()
    assert time.monotonic() - begun < 20
    assert not (tmp_path / "touched").exists()


def test_a_command_that_comes_after_the_stop_never_begins(tmp_path):
    """As one does that a thread had taken just before."""
    children = pool._Children(1, {})
    children.stop()
    touch = python("import sys; open(sys.argv[1], 'w')", tmp_path / "touched")
    assert_equal((children.run(touch).return_code, list(tmp_path.iterdir())), (-signal.SIGTERM, []))


def test_a_command_of_our_own():
    found = ended([own_command("info", "train", "--method", "locoprop-x", "--out", "x.json")], jobs=1)
    assert_equal(found["info"].return_code, 2)
    assert found["info"].reason.startswith("method must be one of")


# ------------------------------ the end of the parent


def is_alive(process):
    try:
        with open(f"/proc/{process}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def parent(tmp_path):
    """Start a parent with two children; return it with the numbers of the children's processes."""
    processes = []

    def started(kind):
        paths = [tmp_path / "a", tmp_path / "b"]
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", PARENT, kind, *paths], env=environment(), text=True,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )
        )  # fmt: skip
        until(lambda: all(path.exists() for path in paths))
        return processes[0], [int(path.read_text()) for path in paths]

    yield started
    for process in processes:
        process.kill()
        process.communicate()


def test_children_end_with_their_parent(parent):
    process, children = parent("willing")
    assert all(map(is_alive, children))
    process.kill()
    until(lambda: not any(map(is_alive, children)), 10)


def test_ctrl_c_reaches_the_parent_alone_which_tells_its_children_to_end(parent):
    process, children = parent("willing")
    assert_equal([os.getsid(child) == child for child in children], [True, True])
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert_equal(process.returncode, -signal.SIGINT)
    assert not any(map(is_alive, children))  # it waited for them


def test_a_second_ctrl_c_does_not_wait(parent):
    process, children = parent("stubborn")
    process.send_signal(signal.SIGINT)
    time.sleep(1)
    assert process.poll() is None and all(map(is_alive, children))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    until(lambda: not any(map(is_alive, children)), 10)
