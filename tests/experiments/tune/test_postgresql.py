"""Tuning on a real server: PostgreSQL, in a temporary folder, on a free port, as an unprivileged user."""

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from tiny_tuning import FLAGS, PATIENCE, a_search, running_worker, small, trials_in

from locoprop_ref.data.files import process_is_alive

TRIALS = 4
LONG = [
    *FLAGS,
    "--batch-size",
    "1",
    "--epochs",
    "20",
    "--trials",
    str(TRIALS),
]  # a quarter of a second a trial
OF = a_search("sgd", problem=small(epochs=20, batch_size=1), trials=TRIALS)


def program(name):
    """The path of one of PostgreSQL's programs, which Debian keeps out of PATH."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: float(p.parent.name))
    found = shutil.which(name, path=os.pathsep.join(map(str, reversed(folders)))) or shutil.which(name)
    if not found:
        pytest.skip("postgresql is not installed")
    return found


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@pytest.fixture(scope="module")
def postgresql():
    """The URL of a database of a new server, which is stopped at the end."""
    pytest.importorskip("psycopg")
    initdb, postgres, createdb = map(program, ("initdb", "postgres", "createdb"))
    # PostgreSQL refuses to run as root
    user = pwd.getpwnam("postgres" if _exists("postgres") else "nobody") if os.getuid() == 0 else None
    rights = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
    folder = Path(tempfile.mkdtemp(prefix="locoprop-ref-postgresql-"))
    port = free_port()
    try:
        if user:
            os.chown(folder, user.pw_uid, user.pw_gid)
        options = {"cwd": folder, "env": {"PATH": os.environ["PATH"], "LC_ALL": "C"}, **rights}
        subprocess.run(
            [initdb, "-D", folder / "data", "-U", "tuner", "-A", "trust", "-E", "UTF8", "--no-sync"],
            check=True, capture_output=True, **options,
        )  # fmt: skip
        with open(folder / "log", "wb") as log:
            server = subprocess.Popen(
                [postgres, "-D", folder / "data", "-p", str(port), "-h", "127.0.0.1", "-k", folder, "-F"],
                stdout=log, stderr=log, **options,
            )  # fmt: skip
        try:
            create = [createdb, "-h", "127.0.0.1", "-p", str(port), "-U", "tuner", "tuning"]
            until = time.monotonic() + PATIENCE
            while subprocess.run(create, capture_output=True, check=False, **options).returncode:
                assert server.poll() is None, (folder / "log").read_text(errors="replace")
                assert time.monotonic() < until, "the server does not answer"
                time.sleep(0.1)
            yield f"postgresql+psycopg://tuner@127.0.0.1:{port}/tuning"
        finally:
            server.send_signal(signal.SIGQUIT)
            server.wait(PATIENCE)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _exists(name):
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


@pytest.mark.full
def test_two_processes_at_one_study_one_of_them_killed(postgresql, here, begun):
    arguments = ["tune", "sgd", *LONG, "--storage", postgresql]
    processes = [begun(*arguments, "--out", out) for out in ("one", "other")]
    killed = running_worker(postgresql)
    victim, survivor = sorted(processes, key=lambda process: process.pid != killed)
    victim.kill()
    assert victim.wait(PATIENCE) == -signal.SIGKILL
    out, err = survivor.communicate(timeout=PATIENCE)
    assert (survivor.returncode, err) == (0, "")
    assert "sgd: held-out loss " in out
    trials = trials_in(OF, postgresql)
    states = [t.state.name for t in trials]
    assert states.count("COMPLETE") + states.count("PRUNED") == TRIALS
    failed = [t for t in trials if t.state.name == "FAIL" and "returned" not in t.user_attrs]
    assert [t.user_attrs["worker"].split()[1] for t in failed] == [str(killed)]
    assert set(states) <= {"COMPLETE", "PRUNED", "FAIL"}
    name = "one" if survivor is processes[0] else "other"
    study = json.loads((here / name / "mnist" / "sgd.json").read_text(encoding="utf-8"))["study"]
    assert (study["trials"], study["failed"]) == (TRIALS, 1)
    assert study["loss"] == min(t.value for t in trials if t.state.name == "COMPLETE")


@pytest.mark.full
def test_workers_share_a_study_on_a_server_and_one_of_them_is_killed(postgresql, here, begun):
    arguments = ["tune", "sgd", *LONG, "--seed", "1", "--jobs", "2", "--storage", postgresql]
    process = begun(*arguments)
    killed = running_worker(postgresql)
    assert killed != process.pid
    os.kill(killed, signal.SIGKILL)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (0, "")
    assert out.count("a worker was killed, its trial is marked failed and does not count") == 1
    assert not process_is_alive(killed)
    study = json.loads((here / "tuning" / "mnist" / "sgd.json").read_text(encoding="utf-8"))["study"]
    assert (study["trials"], study["failed"]) == (TRIALS, 1)


@pytest.mark.full
def test_a_server_that_is_gone_is_one_line(here, begun):
    url = f"postgresql+psycopg://tuner:secret@127.0.0.1:{free_port()}/tuning"
    process = begun("tune", "sgd", *LONG, "--storage", url)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2
    assert err.startswith(f"locoprop-ref tune: storage {url.replace('secret', '***')} cannot be used: ")
    assert len(err.splitlines()) == 1
