"""Hostile but real command lines: one line on standard error and status 2, at once; nothing is written."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest
from small_runs import command, environment, write_data

from locoprop_ref.cli import interrupted
from locoprop_ref.cli import main as cli
from locoprop_ref.cli.parser import (
    prepare_streams,
    printable,
    say,
    signals_interrupt,
    warnings_in_one_line,
)
from locoprop_ref.data.npz import read_npz
from locoprop_ref.data.records import read_json
from locoprop_ref.experiments.tune.space import parse_ranges
from locoprop_ref.experiments.tune.storage import Storage
from locoprop_ref.training.loop import Loop

LONG = "1" + "0" * 400
LONGER = "9" * 5000


@pytest.mark.parametrize(
    "words",
    [
        ["train", "--width", "1e308"], ["train", "--width", "inf"], ["train", "--width", LONG],
        ["train", "--layers", f"784-{LONG}-784"], ["train", "--layers", f"784-{LONGER}-784"],
        ["train", "--depth", "1000000000"], ["train", "--depth", LONG], ["train", "--depth", LONGER],
        ["train", "--num-local-steps", "100000000"], ["train", "--num-local-steps", LONG],
        ["train", "--epochs", LONG], ["train", "--schedule-epochs", LONG], ["train", "--batch-size", LONG],
        ["train", "--frozen-layers", LONG], ["train", "--method=am", "--code-steps", LONG],
        ["train", "--method=kfac", "--factor-interval", LONG], ["train", "--jobs-beside", LONG],
        ["train", "--local-lr", LONG], ["train", "--target-step", "1e999"], ["train", "--seed", LONGER],
        ["train", "--backend", "\x1b[31mred"], ["train", "--data", "a\x1b[31m.npz"],
        ["plot", "a\x1b]0;x\x07.json", "--out", "x.svg"], ["tune", "--trials", LONG],
        ["tune", "--storage", ""], ["tune", "--range", "a=1:2", "--range", "a=2:3"],
        ["compare", "--jobs", LONG], ["compare", "--epochs", LONG],
        ["compare", "--jobs", "100000"], ["tune", "--jobs", "100000"],
    ],
    ids=lambda words: "-".join(words)[:40].encode("unicode_escape").decode(),
)  # fmt: skip
def test_one_short_line_and_status_2(words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        status = cli.main(words)
    except SystemExit as stop:
        status = stop.code
    err = capsys.readouterr().err
    assert status == 2
    assert err.startswith("locoprop-ref ")
    assert err.count("\n") == 1 and err[:-1].isprintable() and len(err) < 1000
    assert list(tmp_path.iterdir()) == []


def test_control_characters_are_written_out():
    assert printable("a\x1b[31m\r\n\x07\x9bπ") == "a\\x1b[31m\\r\\n\\x07\\x9bπ"


def test_standard_streams_take_any_text_or_none(monkeypatch):
    """Redirected to a file in cp1252, or closed: the text is escaped, or goes nowhere."""
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", narrow)
    monkeypatch.setattr(sys, "stderr", None)
    prepare_streams()
    print("γ = 10 ±1")
    print("nowhere", file=sys.stderr, flush=True)
    narrow.flush()
    assert narrow.buffer.getvalue().splitlines() == [b"\\u03b3 = 10 \xb11"]
    sys.stderr.close()


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', '[{"b": {"a": 1, "c": 10000, "a": {}}}]'])
def test_a_key_that_stands_twice_is_refused(tmp_path, text):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(ValueError, match=r"r.json must be a run file with every key once, got 'a' twice$"):
        read_json(tmp_path / "r.json", "a run file")


def test_numbers_of_any_length_are_still_read(tmp_path):
    (tmp_path / "r.json").write_text(json.dumps({"a": [1], "b": {"a": 1.5}})[:-1] + f', "c": {10**300}}}')
    assert read_json(tmp_path / "r.json", "a run file")["b"] == {"a": 1.5}


def test_too_little_memory_is_not_a_damaged_file(tmp_path, monkeypatch):
    path = write_data(tmp_path / "data.npz")

    def fails(*arguments, **options):
        raise MemoryError

    monkeypatch.setattr("locoprop_ref.data.npz.npy.read_array", fails)
    with pytest.raises(MemoryError, match=r"data.npz needs more memory than this process can have$"):
        read_npz(path, None, required=(), max_bytes=1 << 30)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://", "sqlite:///:memory:", "sqlite:///file::memory:?uri=true",
        "sqlite:///file:x?mode=memory&uri=true", "sqlite:///x?mode=memory",
    ],
)  # fmt: skip
def test_a_database_in_memory_is_refused(url):
    """Every connection would have one of its own: trial 0 for ever."""
    pytest.importorskip("optuna")
    with (
        pytest.raises(ValueError, match=r"^storage must be a file or a server's, got "),
        Storage(url).opened(),
    ):
        pass


def test_a_range_stands_once():
    with pytest.raises(ValueError, match=r"^range must be given once for a value, got 1 - momentum twice$"):
        parse_ranges(["1-momentum=1e-5:0.1", "1 - momentum=1e-4:0.1"])


def test_a_signal_that_ends_a_process_interrupts_it_here():
    """SIGTERM and SIGHUP as Ctrl-C; an ignored one stays ignored, and other threads change nothing."""
    before = signal.getsignal(signal.SIGTERM), signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with pytest.raises(KeyboardInterrupt), signals_interrupt():
            signal.raise_signal(signal.SIGHUP)
            signal.raise_signal(signal.SIGTERM)
        thread = threading.Thread(target=signals_interrupt().__enter__)
        thread.start()
        thread.join()
        assert signal.getsignal(signal.SIGTERM) == before[0]
    finally:
        signal.signal(signal.SIGHUP, before[1])


def test_a_second_signal_waits_for_the_last_status(monkeypatch):
    """The status "interrupted" is written although Ctrl-C is pressed again."""
    said, loop = [], object.__new__(Loop)
    loop.run_so_far = {"epochs": [{"epoch": 3}]}

    def stop(status, message):
        signal.raise_signal(signal.SIGINT)
        said.append((status, message))

    def begins(start):
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "_stop", stop)
    monkeypatch.setattr(loop, "_run", begins)
    with pytest.raises(KeyboardInterrupt):
        loop.run(None)
    assert said == [("interrupted", "interrupted after epoch 3")]


@pytest.mark.full
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_run_that_is_told_to_end_says_so(tmp_path, name):
    data, out = write_data(tmp_path / "d.npz"), tmp_path / "run.json"
    width = np.load(data)["x_train"].reshape(-1, 1).size // len(np.load(data)["x_train"])
    words = ["train", "--data", data, "--layers", f"{width}-3-{width}", "--epochs", "100000000"]
    words += ["--batch-size", "5", "--out", out]
    # the tests may run under nohup, whose SIGHUP every process below it would ignore
    before = signal.signal(getattr(signal, name), signal.SIG_DFL)
    try:
        process = subprocess.Popen(command(*words), env=environment(), stdout=subprocess.PIPE, text=True)
    finally:
        signal.signal(getattr(signal, name), before)
    with process:
        process.stdout.readline()
        process.stdout.readline()  # the first epochs are kept
        process.send_signal(getattr(signal, name))
        process.stdout.read()
    assert process.returncode == 130
    assert json.loads(out.read_text())["status"] == "interrupted"


def test_a_warning_is_one_line_where_it_is_ours(capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        shown = warnings.showwarning
        with warnings_in_one_line():
            warnings.warn_explicit("of a\nlibrary", UserWarning, np.__file__, 1)
            warnings.warn_explicit("of two\nlines", RuntimeWarning, cli.__file__, 1)
        assert warnings.showwarning is shown
    assert capsys.readouterr().err == "locoprop-ref: warning: of two lines\n"


def test_a_command_shows_its_warnings_in_one_line(capsys, monkeypatch):
    def warns(given):
        warnings.warn_explicit("the solver\ndid not converge", RuntimeWarning, cli.__file__, 1)
        raise ValueError("and more")

    monkeypatch.setattr("locoprop_ref.cli.info._info", warns)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert cli.main(["info"]) == 2
    lines = ["locoprop-ref: warning: the solver did not converge", "locoprop-ref info: and more"]
    assert capsys.readouterr().err.splitlines() == lines


def test_an_interrupt_before_main_is_one_line(capfd, monkeypatch):
    ended = []
    monkeypatch.setattr(os, "_exit", ended.append)
    interrupted.end_quietly(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert (ended, capfd.readouterr().err) == ([130], "locoprop-ref: interrupted before it began\n")
    try:
        raise ValueError("of ours")
    except ValueError as error:
        interrupted.end_quietly(ValueError, error, error.__traceback__)
    assert capfd.readouterr().err.splitlines()[-1] == "ValueError: of ours"
    assert ended == [130]


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("python -m locoprop_ref train", True), ("python -I -m locoprop_ref", True),
        ("python /usr/bin/locoprop-ref info", True), ("python C:/Scripts/locoprop-ref.exe", True),
        ("python -m pytest", False), ("python own.py", False), ("python", False),
        ("python -c print() locoprop-ref", False),
    ],
)  # fmt: skip
def test_only_the_command_answers_interrupts(words, wanted):
    """A library that changed what Python does with exceptions would change every program."""
    assert interrupted.is_the_program(words.split()) is wanted
    assert sys.excepthook is not interrupted.end_quietly


@pytest.mark.full
def test_ctrl_c_while_importing_is_one_line(tmp_path):
    """NumPy is replaced by a module that takes a minute to import."""
    (tmp_path / "numpy.py").write_text(
        "import sys, time\nprint('importing', flush=True)\ntime.sleep(60)\n", encoding="utf-8"
    )
    path = {"PYTHONPATH": os.pathsep.join([str(tmp_path), environment()["PYTHONPATH"]])}
    with subprocess.Popen(
        command("info"), env=environment() | path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert (process.returncode, err) == (130, "locoprop-ref: interrupted before it began\n")


@pytest.mark.full
def test_a_closed_standard_output_is_no_error(tmp_path):
    words = " ".join(map(str, command("info")))
    done = subprocess.run(
        ["/bin/sh", "-c", f"{words} >&-"], env=environment(), stderr=subprocess.PIPE, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_name_that_is_no_utf8_is_written_out(tmp_path, monkeypatch):
    """Once a run was trained and kept, and its last line failed: status 2."""
    strict = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", strict)
    prepare_streams()
    say("run file \udcff.json\na\x1b[2J")
    strict.flush()
    assert strict.buffer.getvalue().splitlines() == [b"run file \\udcff.json", b"a\\x1b[2J"]


@pytest.mark.parametrize("out", ["pipe.json", "folder.json", "loop.json"])
def test_a_run_is_kept_in_a_regular_file(out, capsys, tmp_path, monkeypatch):
    """A pipe would wait for a reader for ever."""
    monkeypatch.chdir(tmp_path)
    write_data(tmp_path / "mine.npz")
    os.mkfifo("pipe.json")
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "loop.json").symlink_to("loop.json")
    words = ["train", "--data", "mine.npz", "--layers", "9-3-9", "--batch-size", "20", "--overwrite"]
    assert cli.main([*words, "--out", out]) == 2
    err = capsys.readouterr().err
    assert err.startswith("locoprop-ref train: ") and out in err and err.count("\n") == 1
    assert not list(tmp_path.glob("*.npz.*")) and not (tmp_path / out).with_suffix(".npz").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["train", "--data", "mine.npz", "--layers", "9-3-9", "--data-dir", "."],
         "train: data_dir has no meaning for data 'mine.npz', which is a file of its own, got "),
        (["train", "--data", "mine.npz", "--layers", "9-3-9", "--task=regress", "--data-dir", "."],
         "train: data_dir has no meaning for data 'mine.npz', which is a file of its own, got "),
        (["train", "--method", "fa", "--momentum", "1"], "train: momentum must be at least 0 and below 1"),
        (["train", "--method", "tp", "--decay", "-1"], "train: decay must be at least 0 and below 1"),
        (["train", "--layers", "28x28x1-c99x2-9"],
         "train: layers must have words that fit each other, but in 'c99x2' size must be at most"),
        (["train", "--layers", "28x28x1-p99-9"],
         "train: layers must have words that fit each other, but in 'p99' size must be at most"),
        (["train", "--layers", "28x28x1-c2x2+999999999-9"], "train: layers must have words that fit each "
         "other, but in 'c2x2+999999999' padding must make an image of at most "),
        (["plot", "run.json", "--out", "x.pdf"], "plot: out must end in .svg or .png, got 'x.pdf'"),
        (["apply", "net.npz", "--data", "nope", "--out", "y.npz"], "apply: data must be one of curves, "),
        (["oracle", "check", "--results", "r.json", "--dtype", "float32"], "oracle: dtype has no meaning"),
        (["oracle", "check", "--results", "r.json", "--time-limit", "3"], "oracle: time_limit has no"),
        (["oracle", "check", "--results", "pipe.json"], "oracle: pipe.json must be a regular file"),
    ],
    ids=lambda one: one[:40] if isinstance(one, str) else "-".join(one)[:40],
)  # fmt: skip
def test_the_sentence_is_about_what_was_given(words, sentence, capsys, tmp_path, monkeypatch):
    """Never about an argument that no command has, and no option is ignored."""
    monkeypatch.chdir(tmp_path)
    write_data(tmp_path / "mine.npz")
    os.mkfifo("pipe.json")
    assert cli.main(words) == 2
    assert capsys.readouterr().err.startswith(f"locoprop-ref {sentence}")


@pytest.mark.parametrize("out", ["mine.npz", "loop"])
def test_vectors_are_not_computed_for_what_is_no_folder(out, capsys, tmp_path, monkeypatch):
    """They take minutes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("locoprop_ref.oracle.generate.write", lambda folder: pytest.fail("computed"))
    write_data(tmp_path / "mine.npz")
    (tmp_path / "loop").symlink_to("loop")
    assert cli.main(["oracle", "generate", "--out", out]) == 2
    assert out in capsys.readouterr().err
