"""IDX files and the two data sets made of them: every way a file can be wrong, and every way to get one."""

import errno
import gzip
import hashlib
import http.server
import os
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pooch
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from locoprop_ref import data
from locoprop_ref.data import digits
from locoprop_ref.data.idx import _GZIP_OVERHEAD, parse_idx, read_idx


def idx_bytes(array: np.ndarray) -> bytes:
    """The IDX format, written from its description."""
    header = b"\x00\x00\x08" + bytes([array.ndim])
    return header + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


# ---------------------------------------------------------------- the format

arrays = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=6))


@given(arrays)
def test_round_trip(array):
    np.testing.assert_array_equal(parse_idx(idx_bytes(array), array.shape), array)


@given(array=arrays, zipped=st.booleans())
def test_file_round_trip(tmp_path_factory, array, zipped):
    path = tmp_path_factory.mktemp("idx") / "file"
    content = gzip.compress(idx_bytes(array)) if zipped else idx_bytes(array)
    path.write_bytes(content)
    idx = read_idx(path, array.shape)
    np.testing.assert_array_equal(idx.array, array)
    assert idx.sha256 == hashlib.sha256(idx_bytes(array)).hexdigest()
    assert idx.file_sha256 == hashlib.sha256(content).hexdigest()


@given(array=arrays, keep=st.floats(0, 1, exclude_max=True))
def test_no_prefix_is_accepted(array, keep):
    whole = idx_bytes(array)
    with pytest.raises(ValueError, match=r"^data must"):
        parse_idx(whole[: int(keep * len(whole))], array.shape)


@given(st.binary(max_size=200))
def test_any_bytes_give_an_array_or_one_sentence(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("idx") / "file"
    for prefix in (b"", b"\x1f\x8b\x08\x00", b"\x00\x00\x08\x01\x00\x00\x00\x05"):
        path.write_bytes(prefix + content)
        try:
            assert read_idx(path, (5,)).array.shape == (5,)
        except ValueError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error)


@given(position=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_a_flipped_byte_in_gzip_changes_nothing_unseen(tmp_path_factory, position, flip):
    array = np.arange(200, dtype=np.uint8)
    raw = bytearray(gzip.compress(idx_bytes(array), mtime=0))
    raw[position % len(raw)] ^= flip
    path = tmp_path_factory.mktemp("idx") / "file.gz"
    path.write_bytes(raw)
    try:
        np.testing.assert_array_equal(read_idx(path, (200,)).array, array)  # a byte of the time stamp, say
    except ValueError as error:
        assert str(error).startswith(str(path))


GOOD = idx_bytes(np.arange(12, dtype=np.uint8).reshape(3, 2, 2))
ZIPPED = gzip.compress(GOOD, mtime=0)
BAD_FILES = {
    "empty": (b"", "must be an IDX file, got an empty one"),
    "empty gzip": (gzip.compress(b""), "must be an IDX file, got an empty one"),
    "text": (b"hello, world", "must begin with the IDX magic 0x00000803, got 0x68656c6c"),
    "labels": (idx_bytes(np.arange(12, dtype=np.uint8)), "magic 0x00000803, got 0x00000801"),
    "little-endian magic": (b"\x03\x08\x00\x00" + GOOD[4:], "magic 0x00000803, got 0x03080000"),
    "floats": (b"\x00\x00\x0d\x03" + GOOD[4:], "magic 0x00000803, got 0x00000d03"),
    "magic only": (GOOD[:4], "must have an IDX header of 16 bytes, got a file of 4 bytes"),
    "fewer images": (idx_bytes(np.zeros((2, 2, 2), np.uint8)), "must hold 3 x 2 x 2 .*, got 2 x 2 x 2"),
    "huge count": (GOOD[:4] + b"\xff" * 12 + GOOD[16:], "got 4294967295 x 4294967295 x 4294967295"),
    "truncated": (GOOD[:-1], r"must be 28 bytes of IDX, got 27 \(truncated\)"),
    "trailing": (GOOD + b"\0", r"must be 28 bytes of IDX, got more \(trailing bytes\)"),
    "trailing in gzip": (
        gzip.compress(GOOD + b"\0"),
        r"must be 28 bytes of IDX, got more \(trailing bytes\)",
    ),
    "truncated gzip": (ZIPPED[:-9], "must be a whole gzip file, got a truncated one"),
    "gzip header only": (ZIPPED[:5], "must be a whole gzip file, got a truncated one"),
    "corrupt gzip": (ZIPPED[:12] + b"\xff\xff" + ZIPPED[14:], "must be a whole gzip file, got a corrupt one"),
    "wrong checksum": (ZIPPED[:-8] + b"\0" * 4 + ZIPPED[-4:], "must be a whole gzip file, got a corrupt one"),
    "after gzip": (ZIPPED + b"trailing", "must be a whole gzip file, got a corrupt one"),
    "long gzip": (ZIPPED + bytes(_GZIP_OVERHEAD + 99), "got a compressed file longer than that by itself"),
}


@pytest.mark.parametrize(("content", "words"), BAD_FILES.values(), ids=BAD_FILES)
def test_bad_files(tmp_path, content, words):
    path = tmp_path / "images"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=words) as caught:
        read_idx(path, (3, 2, 2))
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_a_gzip_bomb_is_not_unpacked(tmp_path, monkeypatch):
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(GOOD + bytes(50_000_000)))
    asked = []
    original = gzip.GzipFile.read
    monkeypatch.setattr(gzip.GzipFile, "read", lambda file, size: asked.append(size) or original(file, size))
    with pytest.raises(ValueError, match=r"trailing bytes"):
        read_idx(path, (3, 2, 2))
    assert asked == [29]  # the 28 expected bytes, and one to see that there are more


def test_an_endless_file_is_refused():
    with pytest.raises(ValueError, match=r"must be a regular file, got a pipe, socket or device"):
        read_idx("/dev/zero" if Path("/dev/zero").exists() else os.devnull, (3, 2, 2))


def test_paths_that_are_no_files(tmp_path):
    with pytest.raises(IsADirectoryError, match=r"must be a file, got a directory$"):
        read_idx(tmp_path, (3, 2, 2))
    with pytest.raises(FileNotFoundError, match=r"must be a file, got nothing by that name$"):
        read_idx(tmp_path / "none", (3, 2, 2))


@pytest.mark.parametrize(
    ("number", "error", "words"),
    [(errno.EACCES, PermissionError, "permission denied$"), (errno.EIO, OSError, "must be readable, got I")],
)
def test_files_that_cannot_be_read(tmp_path, monkeypatch, number, error, words):
    path = tmp_path / "images"
    path.write_bytes(GOOD)

    def refuse(*_):
        raise OSError(number, os.strerror(number), "a name")

    monkeypatch.setattr(Path, "open", refuse)  # root may read everything, so the mode bits prove nothing
    with pytest.raises(error, match=words):
        read_idx(path, (3, 2, 2))


# ---------------------------------------------------------------- small sets in the place of the real ones


def small_set(name: str, seed: int, published: bool) -> tuple[digits.IdxSet, dict[str, bytes]]:
    """A data set of the same structure with 6 + 4 images of 3 x 3, and the contents of its four files."""
    rng = np.random.default_rng(seed)
    files, contents = [], {}
    for file in digits.IDX_SETS[name].files:
        count = 6 if "train" in file.key else 4
        shape = (count, 3, 3) if len(file.shape) == 3 else (count,)
        plain = idx_bytes(rng.integers(0, 10, shape).astype(np.uint8))
        contents[file.name] = plain
        gz_hash = hashlib.sha256(gzip.compress(plain, mtime=0)).hexdigest()
        plain_hash = hashlib.sha256(plain).hexdigest() if published else None
        files.append(replace(file, shape=shape, gz_sha256=gz_hash, sha256=plain_hash))
    return replace(digits.IDX_SETS[name], files=tuple(files)), contents


MNIST, MNIST_FILES = small_set("mnist", 1, published=True)
FASHION, FASHION_FILES = small_set("fashion_mnist", 2, published=False)


def put(folder: Path, contents: dict[str, bytes], ending: str = "", mtime: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, plain in contents.items():
        (folder / f"{name}{ending}").write_bytes(gzip.compress(plain, mtime=mtime) if ending else plain)
    return folder


def no_network(*_args, **_kwargs):
    raise requests.exceptions.ConnectionError("a test asked for the network")


@pytest.fixture(autouse=True)
def small_world(tmp_path, monkeypatch):
    """Small sets, an empty cache, no folder in the environment, no network."""
    monkeypatch.setitem(digits.IDX_SETS, "mnist", MNIST)
    monkeypatch.setitem(digits.IDX_SETS, "fashion_mnist", FASHION)
    monkeypatch.setenv(data.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.delenv(data.DATA_VARIABLE, raising=False)
    monkeypatch.setattr(requests, "get", no_network)


def assert_is(loaded: data.Dataset, contents: dict[str, bytes], source: str) -> None:
    for key, (name, skip) in {
        "x_train": ("train-images-idx3-ubyte", 16),
        "labels_train": ("train-labels-idx1-ubyte", 8),
        "x_test": ("t10k-images-idx3-ubyte", 16),
        "labels_test": ("t10k-labels-idx1-ubyte", 8),
    }.items():
        expected = np.frombuffer(contents[name][skip:], dtype=np.uint8)
        np.testing.assert_array_equal(getattr(loaded, key).ravel(), expected)
    assert loaded.x_train.shape == (6, 9) and loaded.x_train.dtype == np.uint8
    assert loaded.labels_train.dtype == np.int64 and loaded.image_shape == (3, 3) and loaded.source == source


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("place", [".", "MNIST/raw", "mnist"])
def test_mnist_from_a_folder(tmp_path, place, ending):
    put(tmp_path / "root" / place, MNIST_FILES, ending, mtime=77)  # another .gz of the same bytes
    loaded = data.load("mnist", data_dir=tmp_path / "root", download=False)
    assert_is(loaded, MNIST_FILES, "folder")
    assert loaded.notes == ()


def test_the_folder_is_left_as_it_was(tmp_path):
    put(tmp_path / "root", MNIST_FILES, ".gz", mtime=77)

    def state():
        return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in (tmp_path / "root").iterdir()}

    before = state()
    data.load("mnist", data_dir=tmp_path / "root")
    assert state() == before
    assert not (tmp_path / "cache").exists()


def test_the_folder_of_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv(data.DATA_VARIABLE, str(put(tmp_path / "root", MNIST_FILES)))
    assert_is(data.load("mnist"), MNIST_FILES, "folder")
    monkeypatch.setenv(data.DATA_VARIABLE, str(tmp_path / "elsewhere"))
    with pytest.raises(FileNotFoundError, match=r"data_dir \(or LOCOPROP_REF_DATA\) must be a folder, got"):
        data.load("mnist")


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_fashion_says_what_was_not_checked(tmp_path, ending):
    put(tmp_path / "FashionMNIST" / "raw", FASHION_FILES, ending, mtime=77)
    loaded = data.load("fashion_mnist", data_dir=tmp_path)
    assert_is(loaded, FASHION_FILES, "folder")
    assert "not published" in loaded.notes[0] and len(loaded.notes) == 1


def test_fashion_as_published_needs_no_note(tmp_path):
    loaded = data.load("fashion_mnist", data_dir=put(tmp_path / "root", FASHION_FILES, ".gz"))
    assert_is(loaded, FASHION_FILES, "folder")
    assert loaded.notes == ()


def test_both_sets_under_one_root(tmp_path):
    put(tmp_path, MNIST_FILES)
    put(tmp_path / "FashionMNIST" / "raw", FASHION_FILES)
    assert_is(data.load("mnist", data_dir=tmp_path), MNIST_FILES, "folder")
    assert_is(data.load("fashion_mnist", data_dir=tmp_path), FASHION_FILES, "folder")


def test_fashion_never_takes_the_files_of_mnist(tmp_path, monkeypatch):
    root = put(tmp_path / "root", MNIST_FILES, ".gz")
    with pytest.raises(
        FileNotFoundError, match=r"must be of Fashion-MNIST, got the file of MNIST \(by its SHA"
    ):
        data.load("fashion_mnist", data_dir=root)
    monkeypatch.setenv(data.DATA_VARIABLE, str(root))  # the variable's folder may lack it: the cache is next
    put(tmp_path / "cache" / "fashion_mnist", FASHION_FILES, ".gz")
    assert_is(data.load("fashion_mnist"), FASHION_FILES, "cache")


def test_mnist_never_takes_other_files(tmp_path):
    root = put(tmp_path / "root", MNIST_FILES)
    spoilt = bytearray(MNIST_FILES["t10k-labels-idx1-ubyte"])
    spoilt[-1] ^= 1
    (root / "t10k-labels-idx1-ubyte").write_bytes(spoilt)
    expected, got = (hashlib.sha256(b).hexdigest() for b in (MNIST_FILES["t10k-labels-idx1-ubyte"], spoilt))
    with pytest.raises(ValueError, match=rf"t10k-labels-idx1-ubyte must .* SHA-256 {expected}, got {got}$"):
        data.load("mnist", data_dir=root)


def test_a_folder_that_lacks_files(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"must hold MNIST's IDX files .*, got none of them"):
        data.load("mnist", data_dir=tmp_path)
    root = put(tmp_path / "root", MNIST_FILES)
    (root / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"four files of MNIST, but t10k-labels-idx1-ubyte is missing"
    ):
        data.load("mnist", data_dir=root)
    (root / "t10k-labels-idx1-ubyte").mkdir()
    with pytest.raises(IsADirectoryError, match=r"t10k-labels-idx1-ubyte must be a file, got a directory"):
        data.load("mnist", data_dir=root)
    monkeypatch.setenv(data.DATA_VARIABLE, str(tmp_path / "root" / "nothing"))
    with pytest.raises(FileNotFoundError, match=r"must be a folder"):
        data.load("mnist", download=False)


# ---------------------------------------------------------------- cache and download


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A mirror of both sets on the loopback interface; yields the list of paths that were asked for."""
    for name, contents in (("mnist", MNIST_FILES), ("fashion_mnist", FASHION_FILES)):
        put(tmp_path / "www" / name, contents, ".gz")
        put(tmp_path / "www" / "wrong" / name, contents, ".gz", mtime=77)
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(tmp_path / "www"))

        def log_message(self, *_args):
            asked.append(self.path)

    real_get = requests.sessions.Session.request

    def get(url, **kwargs):
        assert url.startswith("http://127.0.0.1:")
        with requests.sessions.Session() as session:
            session.trust_env = False  # no proxy between us and ourselves
            response = real_get(session, "get", url, **kwargs | {"stream": False})
            return response

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        base = f"http://127.0.0.1:{server.server_port}/"
        monkeypatch.setattr(requests, "get", get)
        for small in (MNIST, FASHION):
            broken = (f"{base}gone/", f"{base}wrong/{small.name}/", f"{base}{small.name}/")
            monkeypatch.setitem(digits.IDX_SETS, small.name, replace(small, mirrors=broken))
        yield asked
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("name", "contents"), [("mnist", MNIST_FILES), ("fashion_mnist", FASHION_FILES)])
def test_download_tries_the_mirrors_in_turn_then_the_cache_serves(mirror, tmp_path, name, contents):
    first = data.load(name)  # the first mirror answers 404, the second has other bytes, the third is right
    assert_is(first, contents, "download")
    assert first.notes == ()
    assert sum("404" not in path for path in mirror) >= 12
    cached = sorted(path.name for path in (tmp_path / "cache" / name).iterdir())
    assert cached == sorted(f"{file}.gz" for file in contents)
    count = len(mirror)
    again = data.load(name, download=False)
    assert_is(again, contents, "cache")
    assert again.sha256 == first.sha256 and len(mirror) == count


def test_a_corrupt_cache_file_is_downloaded_again(mirror, tmp_path):
    data.load("mnist")
    cached = tmp_path / "cache" / "mnist" / "train-labels-idx1-ubyte.gz"
    cached.write_bytes(cached.read_bytes()[:-5])
    mirror.clear()
    assert_is(data.load("mnist"), MNIST_FILES, "download")
    assert {Path(path).name for path in mirror} == {"train-labels-idx1-ubyte.gz"}
    with pytest.raises(FileNotFoundError, match=r"download is False"):
        cached.write_bytes(b"")
        data.load("mnist", download=False)


def test_a_cache_file_with_other_bytes_is_no_copy(tmp_path):
    cache = put(tmp_path / "cache" / "mnist", MNIST_FILES, ".gz")
    labels = idx_bytes(np.zeros(6, np.uint8))  # a whole gzip of a whole IDX file, but not the published one
    put(cache, {"train-labels-idx1-ubyte": labels}, ".gz")
    with pytest.raises(FileNotFoundError, match=r"MNIST must be downloaded"):
        data.load("mnist", download=False)


def test_offline_says_what_to_do(tmp_path, caplog):
    pooch.get_logger().addHandler(caplog.handler)  # a logger apart from Python's tree of them
    with pytest.raises(ConnectionError) as caught:
        data.load("mnist")
    pooch.get_logger().removeHandler(caplog.handler)
    assert caplog.records == []
    sentence = str(caught.value)
    assert "\n" not in sentence
    advice = ["four IDX files", "data_dir (--data-dir)", "LOCOPROP_REF_DATA"]
    reasons = ["train-images-idx3-ubyte.gz", "storage.googleapis.com: ConnectionError"]
    for words in ["MNIST could not be downloaded", *reasons, *advice]:
        assert words in sentence
    assert not list((tmp_path / "cache" / "mnist").iterdir())


def test_offline_says_why_the_folder_was_passed_over(tmp_path, monkeypatch):
    monkeypatch.setenv(data.DATA_VARIABLE, str(put(tmp_path / "root", MNIST_FILES)))
    with pytest.raises(ConnectionError, match=r"Fashion-MNIST could not .* got the file of MNIST"):
        data.load("fashion_mnist")
    with pytest.raises(
        FileNotFoundError, match=r"Fashion-MNIST must be downloaded, but .*got the file of MNIST"
    ):
        data.load("fashion_mnist", download=False)


def test_a_mirror_that_hangs_or_lies(monkeypatch):
    for failure in (requests.exceptions.ReadTimeout("slow"), requests.exceptions.ChunkedEncodingError("cut")):

        def fail(*_args, failure=failure, **_kwargs):
            raise failure

        monkeypatch.setattr(requests, "get", fail)
        with pytest.raises(ConnectionError, match=rf"amazonaws.com: {type(failure).__name__}"):
            data.load("mnist")


def test_a_cache_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("in the way of the folder")
    with pytest.raises(
        OSError, match=r"cache folder .* must be writable to hold MNIST, got .*LOCOPROP_REF_CACHE"
    ):
        data.load("mnist", cache_dir=tmp_path / "file")


# ---------------------------------------------------------------- the real thing


def test_real_mnist(mnist_dir, monkeypatch):
    monkeypatch.undo()  # the real table in the place of the small one
    monkeypatch.delenv(data.DATA_VARIABLE, raising=False)
    loaded = data.load("mnist", data_dir=mnist_dir, download=False)
    assert loaded.x_train.shape == (60_000, 784) and loaded.x_test.shape == (10_000, 784)
    assert loaded.source == "folder" and loaded.notes == ()
    # known properties of MNIST: its first ten labels, the number of examples of each digit, the mean pixel
    assert loaded.labels_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(loaded.labels_train).tolist() == counts
    np.testing.assert_allclose(
        loaded.x_train.mean() / 255, 0.1307, rtol=0, atol=5e-5
    )  # published to 4 digits
    with pytest.raises(FileNotFoundError, match=r"must be of Fashion-MNIST, got the file of MNIST"):
        data.load("fashion_mnist", data_dir=mnist_dir, download=False)
