"""The end of a run: divergence, SIGKILL, Ctrl-C, and a disk that is full."""

import math
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from numpy.testing import assert_equal
from small_runs import (
    BASE,
    assert_same_checkpoint,
    assert_same_weights,
    command,
    contents,
    environment,
    run,
    shell,
    without_seconds,
)

from locoprop_ref.cli import main as cli
from locoprop_ref.training import checkpoint, diverged, loop
from locoprop_ref.training.run_file import read_run

# ------------------------------ divergence


DIVERGING = {
    "backprop": {
        "method": "backprop",
        "optimizer": "sgd",
        "learning_rate": 1e4,
        "output_loss": "squared_error",
    },
    "S": {"method": "locoprop-s", "optimizer": "sgd", "local_lr": 1e9},
    "M": {"optimizer": "sgd", "local_lr": 1e9, "output_loss": "squared_error"},
    "closed": {"method": "locoprop-s-closed", "target_step": 1e30},
    "closed, float64": {"method": "locoprop-s-closed", "target_step": 1e300, "dtype": "float64"},
    "relu": {
        "transfer": "relu",
        "code_transfer": "relu",
        "output_loss": "squared_error",
        "optimizer": "momentum",
        "local_lr": 1e6,
    },
}


@pytest.mark.parametrize("backend", ["numpy", "array-api-strict"])
@pytest.mark.parametrize("options", DIVERGING.values(), ids=DIVERGING)
def test_divergence_keeps_what_stood_before(tiny, tmp_path, options, backend):
    # 39 epochs of warm-up: nothing moves in the first, and the rate is small enough in the second or not
    options = {**options, "schedule": "authors", "schedule_epochs": 800, "epochs": 9, "backend": backend}
    result = run(tiny, out=tmp_path / "r.json", **options)
    written = read_run(tmp_path / "r.json")
    last = written["epochs"][-1]["epoch"]
    assert result.run["status"] == written["status"] == "diverged"
    assert last >= 1
    assert written["message"].startswith(f"diverged in epoch {last + 1}: ")
    assert written["message"].endswith(f"; kept what stood after epoch {last}")
    assert "\n" not in written["message"]
    kept = checkpoint.load_checkpoint(tmp_path / "r.npz", xp=np)
    assert kept.run["epochs"] == written["epochs"]
    short = run(tiny, **{**options, "epochs": last})
    assert short.run["status"] == "finished"
    assert_same_weights(kept.network, short.network)
    assert_same_weights(result.network, short.network)


def test_a_loss_far_above_the_beginning_is_divergence(tiny):
    result = run(
        tiny, method="backprop", optimizer="sgd", learning_rate=1.0, output_loss="squared_error", epochs=30
    )
    assert result.run["status"] == "diverged"
    assert "times the untrained network's" in result.run["message"] or "finite" in result.run["message"]


@pytest.mark.parametrize(
    ("loss", "wanted"), [(100.0, False), (100.1, True), (math.inf, True), (math.nan, True), (0.0, False)]
)
def test_what_counts_as_divergence(loss, wanted):
    assert diverged(loss, 1.0) is wanted
    assert diverged(3 * loss, 3.0) is wanted


class Failing:
    """A method whose n-th step fails; it moves nothing."""

    def __init__(self, n, error):
        self.n, self.error, self.taken = n, error, 0

    def init(self, network, seed):
        return {}

    def step(self, network, state, x, t, *, rate):
        self.taken += 1
        if self.taken == self.n:
            raise self.error
        return network, state, {}


@pytest.mark.parametrize(
    ("step", "error", "kept"),
    [
        (1, np.linalg.LinAlgError("singular"), 0),
        (2, ValueError("nan in it"), 0),
        (4, ValueError("nan in it"), 1),
        (5, np.linalg.LinAlgError("singular"), 1),
    ],
)
def test_a_step_that_fails_by_its_numbers_is_divergence(step, error, kept, tiny, monkeypatch):
    """An epoch has three steps. The first one has shown that shapes and settings are right."""
    monkeypatch.setattr(loop, "build_method", lambda config: Failing(step, error))
    found = run(tiny).run
    assert (found["status"], len(found["epochs"])) == ("diverged", 1 + kept)
    assert found["message"] == f"diverged in epoch {kept + 1}: {error}; kept what stood after epoch {kept}"


def test_a_first_step_that_fails_is_an_error(tiny, monkeypatch):
    monkeypatch.setattr(loop, "build_method", lambda config: Failing(1, ValueError("wrong shape")))
    with pytest.raises(ValueError, match="wrong shape"):
        run(tiny)


def test_divergence_on_the_command_line(tiny, tmp_path, capsys):
    options = ["--optimizer", "sgd", "--local-lr", "1e9", "--layers", "9-6-9", "--batch-size", "20"]
    status = cli.main(["train", "--data", str(tiny), *options, "--out", str(tmp_path / "r.json")])
    out, err = capsys.readouterr()
    assert status == 1
    assert len(err.splitlines()) == 1
    assert err.startswith("locoprop-ref train: diverged in epoch ")
    assert err.rstrip().endswith(f"({tmp_path / 'r.json'})")
    assert out.startswith("epoch 0: ")


# ------------------------------ killed, interrupted, out of space


LONG = {**BASE, "schedule": "authors", "schedule_epochs": 400, "local_lr": 1e-4, "optimizer": "adam"}


def long_run(tiny, out, epochs, *more):
    options = [f"--{name.replace('_', '-')}={value}" for name, value in {**LONG, "epochs": epochs}.items()]
    return ["train", "--data", tiny, *options, "--out", out, *more]


@pytest.fixture(scope="module")
def uninterrupted(tiny, tmp_path_factory):
    """A run of so many epochs that nothing disturbs, in a process of its own; each made once."""
    made = {}

    def straight(epochs):
        if epochs not in made:
            made[epochs] = tmp_path_factory.mktemp("straight") / "r.json"
            done = shell(*long_run(tiny, made[epochs], epochs))
            assert (done.returncode, done.stderr) == (0, "")
        return made[epochs]

    return straight


def assert_same_run(out, wanted):
    assert read_run(out)["status"] == "finished"
    assert without_seconds(read_run(out)) == without_seconds(read_run(wanted))
    assert_same_checkpoint(out.with_suffix(".npz"), wanted.with_suffix(".npz"))


class Watcher(threading.Thread):
    """Keeps reading a run file and its checkpoint, and what else is in their folder."""

    def __init__(self, out):
        super().__init__(daemon=True)
        self.out, self.reads, self.problems, self.enough = out, 0, [], threading.Event()

    def run(self):
        seen = 0
        while not self.enough.is_set():
            try:
                names = {p.name for p in self.out.parent.iterdir() if not p.name.startswith(".")}
                if not names <= {"r.json", "r.npz"}:
                    self.problems.append(f"visible: {names}")
                if "r.json" not in names:
                    continue
                epochs = len(read_run(self.out)["epochs"])
                meta, _ = contents(self.out.with_suffix(".npz"))
                # the checkpoint is replaced first, so that it is never behind the run file
                if not seen <= epochs <= len(meta["run"]["epochs"]):
                    self.problems.append(
                        f"run file {seen}, {epochs}, checkpoint {len(meta['run']['epochs'])}"
                    )
                seen, self.reads = epochs, self.reads + 1
            except Exception as error:
                self.problems.append(f"{type(error).__name__}: {error}")

    def stop(self):
        self.enough.set()
        self.join()


def killed_at_a_random_moment(arguments, rng, by_time):
    """Start a run and kill it: some milliseconds after its start, or after some epochs and a part of one."""
    process = subprocess.Popen(
        command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    )
    with process:
        if by_time:
            time.sleep(rng.uniform(0, 0.6))
        else:
            wanted = int(rng.integers(1, 4))
            while wanted:
                line = process.stdout.readline()
                assert line, process.stderr.read()
                wanted -= line.startswith("epoch")
            time.sleep(rng.uniform(0, 0.02))
        process.send_signal(signal.SIGKILL)
    return process.returncode


@pytest.mark.parametrize("moments", [1, pytest.param(20, marks=pytest.mark.full)])
def test_killed_at_any_moment_and_resumed(tiny, tmp_path, uninterrupted, moments):
    """SIGKILL, resumed each time: the bits of a run that nobody killed, and only whole files on the way."""
    epochs, out, rng = 15 * moments, tmp_path / "r.json", np.random.default_rng(moments)
    watcher = Watcher(out)
    watcher.start()
    try:
        for moment in range(moments):
            status = killed_at_a_random_moment(long_run(tiny, out, epochs, "--resume"), rng, moment % 4 == 3)
            assert status == -signal.SIGKILL  # it had not ended by itself
        assert not out.exists() or len(read_run(out)["epochs"]) <= epochs
        done = shell(*long_run(tiny, out, epochs, "--resume"))
    finally:
        watcher.stop()
    assert (done.returncode, done.stderr) == (0, "")
    assert "resuming after epoch" in done.stdout
    assert_same_run(out, uninterrupted(epochs))
    assert watcher.problems == []
    assert watcher.reads > 3 * moments
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r.json", "r.npz"]  # nothing is left behind


@pytest.mark.full
@pytest.mark.parametrize("name", ["am", "am-mem", "tp", "dtp", "fa", "dfa", "ste"])
def test_a_relative_killed_and_resumed(tiny, tmp_path, name):
    """With the states of its targets and its solver: inverses, random matrices, sums, noise to come."""
    arguments = ["train", "--data", tiny, "--method", name, "--layers=9-6-3-6-9", "--batch-size=20"]
    straight, out, rng = tmp_path / "straight.json", tmp_path / "r.json", np.random.default_rng(1)
    arguments += ["--epochs=40", "--diagnostics"] if name != "ste" else ["--epochs=40"]
    assert shell(*arguments, "--out", straight).returncode == 0
    killed_at_a_random_moment([*arguments, "--out", out, "--resume"], rng, by_time=False)
    assert len(read_run(out)["epochs"]) <= 40  # on a quick machine it may have ended by itself
    done = shell(*arguments, "--out", out, "--resume")
    assert (done.returncode, done.stderr) == (0, "")
    assert "resuming after epoch" in done.stdout
    assert_same_run(out, straight)


@pytest.mark.parametrize("moments", [1, pytest.param(12, marks=pytest.mark.full)])
def test_interrupted(tiny, tmp_path, uninterrupted, moments):
    """Ctrl-C: one sentence, status 130, the run file says so, and the run continues from there."""
    # far more epochs than pass between the first line and the signal, on the quickest machine
    epochs, out, rng = 150, tmp_path / "r.json", np.random.default_rng(moments)
    for _ in range(moments):
        process = subprocess.Popen(
            command(*long_run(tiny, out, epochs, "--resume")),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(),
        )  # fmt: skip
        with process:
            while not process.stdout.readline().startswith("epoch"):
                assert process.poll() is None, process.stderr.read()
            time.sleep(rng.uniform(0, 0.03))
            process.send_signal(signal.SIGINT)
            _, err = process.communicate()
        assert process.returncode == 130
        assert (
            err == f"locoprop-ref train: interrupted; {out} holds every complete epoch (--resume continues)\n"
        )
        stopped = read_run(out)
        assert stopped["status"] == "interrupted"
        assert stopped["message"] == f"interrupted after epoch {stopped['epochs'][-1]['epoch']}"
    done = shell(*long_run(tiny, out, epochs, "--resume"))
    assert (done.returncode, done.stderr) == (0, "")
    assert_same_run(out, uninterrupted(epochs))


@pytest.mark.parametrize("when", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
def test_interrupted_inside_a_write(tiny, tmp_path, monkeypatch, when):
    """KeyboardInterrupt out of the n-th flush to the disk: checkpoint and run file by turns."""
    out = tmp_path / "r.json"
    right, count = os.fsync, iter(range(1, 1000))

    def fsync(descriptor):
        if next(count) == when:
            raise KeyboardInterrupt
        return right(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(KeyboardInterrupt):
        run(tiny, out=out, epochs=4)
    kept = ["r.json", "r.npz"] if when > 1 else []  # never a run file alone, from which nothing could go on
    assert_equal(sorted(p.name for p in tmp_path.iterdir()), kept)
    if kept:
        stopped, (meta, _) = read_run(out), contents(out.with_suffix(".npz"))
        assert_equal(stopped["status"], "interrupted" if when < 10 else "finished")
        assert_equal(without_seconds(stopped)["epochs"], meta["run"]["epochs"])
        said = None if when == 10 else f"interrupted after epoch {len(stopped['epochs']) - 1}"
        assert_equal(stopped.get("message"), said)
    run(tiny, out=out, epochs=4, resume=True)
    run(tiny, out=tmp_path / "straight.json", epochs=4)
    assert_same_run(out, tmp_path / "straight.json")


@pytest.mark.parametrize("when", [1, 2, 3, 4, 9, 10])
def test_ctrl_c_inside_a_write_ends_the_run_after_it(tiny, tmp_path, monkeypatch, when):
    """The signal itself, in the n-th flush to the disk: the checkpoint and the run file are of one epoch."""
    out, right, count = tmp_path / "r.json", os.fsync, iter(range(1, 1000))

    def fsync(descriptor):
        if next(count) == when:
            signal.raise_signal(signal.SIGINT)
        return right(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(KeyboardInterrupt):
        run(tiny, out=out, epochs=4)
    stopped, (meta, _) = read_run(out), contents(out.with_suffix(".npz"))
    assert_equal(len(stopped["epochs"]), (when + 1) // 2)
    assert_equal(without_seconds(stopped)["epochs"], meta["run"]["epochs"])
    assert_equal(stopped["status"], "interrupted" if when < 9 else "finished")


def test_interrupted_before_anything_is_kept(tiny, tmp_path, monkeypatch, capsys):
    def interrupt(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("locoprop_ref.training.run.load", interrupt)
    status = cli.main([str(a) for a in long_run(tiny, tmp_path / "r.json", 3)])
    assert status == 130
    assert capsys.readouterr().err == "locoprop-ref train: interrupted; nothing was kept\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.full
def test_file_size_limit(tiny, tmp_path, uninterrupted):
    """The history makes checkpoints grow: one of them no longer fits. The one before it is intact."""
    epochs, out = 30, tmp_path / "r.json"
    assert shell(*long_run(tiny, out, 2)).returncode == 0
    size = out.with_suffix(".npz").stat().st_size
    limit = size + 3000
    assert out.stat().st_size < limit
    limited = (
        f"import resource, runpy; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}));"
        "runpy.run_module('locoprop_ref', run_name='__main__', alter_sys=True)"
    )
    arguments = [str(a) for a in long_run(tiny, out, epochs, "--resume")]
    full = subprocess.run(
        [sys.executable, "-c", limited, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    assert full.returncode == 2
    assert full.stderr.count("\n") == 1
    assert full.stderr.startswith(f"locoprop-ref train: {out} and r.npz cannot be written after epoch ")
    assert full.stderr.endswith(": file too large; the last complete state is kept\n")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r.json", "r.npz"]
    kept = read_run(out)
    meta, _ = contents(out.with_suffix(".npz"))
    assert 2 < len(kept["epochs"]) < epochs
    assert without_seconds(kept) == meta["run"]
    assert shell(*long_run(tiny, out, epochs, "--resume")).returncode == 0
    assert_same_run(out, uninterrupted(epochs))


@pytest.mark.parametrize("when", [1, 2, 3, 4, 5, 6])
def test_full_disk(tiny, tmp_path, monkeypatch, capsys, when):
    """The n-th flush finds the disk full: one sentence, status 2, whole files, and the run can go on."""
    right, count = os.fsync, iter(range(1, 1000))

    def fsync(descriptor):
        if next(count) >= when:
            raise OSError(28, "No space left on device")
        return right(descriptor)

    out = tmp_path / "r.json"
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        assert cli.main([str(a) for a in long_run(tiny, out, 4)]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert f"{out} and r.npz cannot be written after epoch {(when - 1) // 2}: no space left on device" in err
    left = sorted(p.name for p in tmp_path.iterdir())
    assert left == [[], ["r.npz"], ["r.json", "r.npz"]][min(when - 1, 2)]
    run(tiny, out=out, **{**LONG, "epochs": 4}, resume=True)
    run(tiny, out=tmp_path / "straight.json", **{**LONG, "epochs": 4})
    assert_same_run(out, tmp_path / "straight.json")
