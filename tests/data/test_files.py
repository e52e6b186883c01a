"""Files: read and written as a whole, never through a planted link, never in place of what is not ours."""

import errno
import multiprocessing
import os
import stat
from pathlib import Path

import pytest

from locoprop_ref.data import files
from locoprop_ref.data.files import check_outputs, file_lock, user_path, write_atomically

# paths --------------------------------------------------------------------------------------------


def test_a_home_folder_is_expanded(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert user_path("~/a.npz") == tmp_path / "a.npz"
    assert user_path(Path("~") / "b") == tmp_path / "b"
    assert user_path("a/~/b") == Path("a/~/b")


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (3, TypeError, "out must be a path, got 3"),
        (b"a", TypeError, "out must be a path, got b'a'"),
        ("", ValueError, "out must be a path, got ''"),
        ("a\0b", ValueError, r"out must be a path, got 'a\\x00b'"),
        ("~nobody-by-that-name/a", ValueError, "out must begin with a user's home folder, got ~nobody"),
    ],
)
def test_what_is_no_path_is_refused(given, error, words):
    with pytest.raises(error, match=words):
        user_path(given, "out")


# what may be written ------------------------------------------------------------------------------


def test_links_that_lead_round_in_a_circle_are_one_sentence(tmp_path):
    """Once a RuntimeError of pathlib, after the work was done."""
    for name in ("a", "b"):
        (tmp_path / name).symlink_to(tmp_path / {"a": "b", "b": "a"}[name])
    for path in (tmp_path / "a", tmp_path / "a" / "new.json"):
        for call in (
            lambda path=path: check_outputs({"out": path}, overwrite=True),
            lambda path=path: check_outputs({"out": path, "json": tmp_path / "c"}, overwrite=True),
            lambda path=path: write_atomically(path, lambda file: file.write(b"1")),
        ):
            with pytest.raises(OSError) as caught:
                call()
            assert (caught.value.errno, caught.value.filename) == (errno.ELOOP, str(path))
    assert (tmp_path / "a").is_symlink()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_full_device_is_named():
    with pytest.raises(OSError) as caught:
        write_atomically("/dev/full", lambda file: file.write(b"1"))
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, "/dev/full")


def test_an_existing_file_is_replaced_only_if_asked(tmp_path):
    path = tmp_path / "a"
    check_outputs({"out": path}, overwrite=False)
    path.write_text("mine")
    check_outputs({"out": path}, overwrite=True)
    check_outputs({"out": None, "json": "/dev/null"}, overwrite=False)
    with pytest.raises(FileExistsError, match=r"^out must be a new file, got .*, which exists \(--overwrite"):
        check_outputs({"out": path}, overwrite=False)


def test_an_output_is_never_an_input_or_another_output(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data, link, hard = tmp_path / "data", tmp_path / "link", tmp_path / "hard"
    data.write_text("mine")
    link.symlink_to(data)
    hard.hardlink_to(data)
    for same in (data, "data", f"../{tmp_path.name}/data", link, hard):
        with pytest.raises(ValueError, match=r"out must be a file of its own, got .* which is the data"):
            check_outputs({"out": same}, {"the data": data, "the name": "mnist"}, overwrite=True)
    for one, other in (("new", "./new"), (link, hard), ("none/../new", tmp_path / "new")):
        with pytest.raises(ValueError, match="json and junit must be two files"):
            check_outputs({"json": one, "junit": other}, overwrite=True)


# writing ------------------------------------------------------------------------------------------


def test_no_planted_link_is_followed(tmp_path, monkeypatch):
    """Whoever may write into the folder plants links at the names that a temporary file could have."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    for name in (f".out.{os.getpid()}.part", f".out.{os.getpid()}.guessed.part"):
        (tmp_path / name).symlink_to(victim)
    monkeypatch.setattr(files.secrets, "token_hex", lambda count: "guessed")
    with pytest.raises(FileExistsError):
        write_atomically(tmp_path / "out", lambda file: file.write(b"new"))
    assert victim.read_text() == "precious"
    monkeypatch.undo()
    write_atomically(tmp_path / "out", lambda file: file.write(b"new"))
    assert (victim.read_text(), (tmp_path / "out").read_text()) == ("precious", "new")


def test_the_name_of_the_temporary_file_is_another_each_time(tmp_path):
    names = set()
    for _ in range(3):
        write_atomically(tmp_path / "out", lambda file: names.add(file.name))
    assert len(names) == 3


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path, mode):
    path, seen = tmp_path / "out", []
    path.write_text("old")
    path.chmod(mode)

    def write(file):
        seen.append(stat.S_IMODE(os.fstat(file.fileno()).st_mode))
        file.write(b"new")

    write_atomically(path, write)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert seen[0] & ~mode == 0  # nor is the new content readable for others meanwhile
    write_atomically(tmp_path / "fresh", write)
    plain = tmp_path / "plain"
    plain.write_text("")
    assert (tmp_path / "fresh").stat().st_mode == plain.stat().st_mode


def test_what_a_killed_process_left_is_removed(tmp_path):
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=int)
    process.start()
    process.join()
    for name in (f".out.{process.pid}.0123456789abcdef.part", f".out.{process.pid}.part"):
        (tmp_path / name).write_text("half")
    (tmp_path / f".out.{os.getpid()}.0123456789abcdef.part").write_text("of a process that is alive")
    write_atomically(tmp_path / "out", lambda file: file.write(b"new"))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f".out.{os.getpid()}.0123456789abcdef.part",
        "out",
    ]


# locks --------------------------------------------------------------------------------------------


def hold(path, ready, end):
    with file_lock(Path(path), "busy"):
        ready.set()
        end.wait(30)


def test_one_process_at_a_time(tmp_path):
    context, path = multiprocessing.get_context("spawn"), tmp_path / "folder" / ".lock"
    ready, end = context.Event(), context.Event()
    process = context.Process(target=hold, args=(str(path), ready, end))
    process.start()
    assert ready.wait(30)
    with pytest.raises(BlockingIOError, match=r"^busy$"), file_lock(path, "busy"):
        pass
    assert path.exists()  # the other one still holds it
    process.kill()
    process.join()
    with file_lock(path, "busy", timeout=5.0):
        assert path.exists()
    assert not path.exists()
