"""`load`, `Dataset`, `scaled`, and a user's own NPZ: what is accepted, what is refused, and in what words."""

import hashlib
import io
import os
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from locoprop_ref import data
from locoprop_ref.data.dataset import checked_dataset
from locoprop_ref.data.npz import load_npz

X = np.arange(12, dtype=np.uint8).reshape(4, 3)
LABELS = np.array([0, 1, 2, 0])
GOOD = {"x_train": X, "x_test": X[:2], "labels_train": LABELS, "labels_test": LABELS[:2]}


def save(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)
    return path


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def zip_of(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


# ---------------------------------------------------------------- load


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        (
            "minst",
            ValueError,
            r"name must be one of curves, mnist, .*npz, got 'minst' \(did you mean 'mnist'\?\)",
        ),
        ("", ValueError, "name must be one of"),
        (Path("mnist"), ValueError, "name must be one of"),
        (None, TypeError, r"name must be one of .* or a path ending in \.npz, got None"),
        (b"mnist", TypeError, "name must be"),
        (3, TypeError, "name must be"),
    ],
)
def test_unknown_names(name, error, words):
    with pytest.raises(error, match=words):
        data.load(name)


def test_names_are_those_that_the_error_lists():
    with pytest.raises(ValueError, match=r", ".join(data.NAMES)):
        data.load("?")


def test_importing_the_package_imports_no_downloader():
    code = (
        "import sys, locoprop_ref.data; print([m for m in ('pooch', 'requests', 'tqdm') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


# ---------------------------------------------------------------- a user's own NPZ


@pytest.mark.parametrize("as_path", [str, Path])
@pytest.mark.parametrize("savez", [np.savez, np.savez_compressed])
def test_npz(tmp_path, savez, as_path):
    savez(tmp_path / "own.npz", **GOOD)
    loaded = data.load(as_path(tmp_path / "own.npz"))
    for key, expected in GOOD.items():
        np.testing.assert_array_equal(getattr(loaded, key), expected)
    assert (loaded.name, loaded.source, loaded.notes, loaded.image_shape) == ("own.npz", "folder", (), None)
    assert str(tmp_path) not in repr(loaded)


def test_npz_without_labels_and_with_images(tmp_path):
    images = np.linspace(0, 1, 24, dtype=">f4").reshape(2, 3, 4)
    loaded = data.load(save(tmp_path / "own.npz", x_train=images, x_test=np.asfortranarray(images)))
    assert loaded.image_shape == (3, 4) and loaded.labels_train is None and loaded.labels_test is None
    for x in (loaded.x_train, loaded.x_test):
        np.testing.assert_array_equal(x, images.reshape(2, 12))
        assert x.dtype == np.float32 and x.dtype.isnative and x.flags.c_contiguous


def test_other_keys_are_noted(tmp_path):
    loaded = data.load(save(tmp_path / "own.npz", **GOOD, y_train=np.array([object()])))
    assert loaded.notes == ("Keys that were left unread: y_train.",)


floats = hnp.arrays(
    st.sampled_from([np.uint8, np.float32, np.float64]),
    hnp.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=5),
    elements={"allow_nan": False, "allow_infinity": False},
)


@given(floats)
def test_npz_round_trip(tmp_path_factory, x):
    loaded = data.load(save(tmp_path_factory.mktemp("npz") / "own.npz", x_train=x, x_test=x[:1]))
    np.testing.assert_array_equal(loaded.x_train, x.reshape(len(x), -1))
    assert loaded.x_train.dtype == x.dtype


NAN = np.array([[0.0, np.nan]])
BAD_ARRAYS = {
    "odd names": (
        {"x\ntrain": X} | {str(i): X for i in range(99)},
        r"must have the key x_train, got 'x\\ntrain', 0, 1, 2, 3, 4, 5, 6, \.\.\.$",
    ),
    "no x_test": ({"x_train": X}, "must have the key x_test, got x_train$"),
    "nothing": ({}, "must have the key x_train, got no keys$"),
    "objects": (
        {"x_train": np.array([[None]])},
        "x_train in .* must be an array of numbers, got dtype object",
    ),
    "strings": ({"x_train": np.array([["a"]])}, "x_train in .* must be an array of numbers, got dtype <U1"),
    "bools": ({"x_train": X > 3}, "x_train in .* must be an array of numbers, got dtype bool"),
    "structure": (
        {"x_train": np.zeros((2, 2), "u1,u1")},
        "x_train in .* must be an array of numbers, got dtype",
    ),
    "integers": ({"x_train": X.astype(np.int64)}, "must have dtype uint8, float32, float64, got int64"),
    "half": ({"x_train": X.astype(np.float16)}, "must have dtype uint8, float32, float64, got float16"),
    "vector": (
        {"x_train": X[0]},
        r"must have shape \(N, d\), .* or \(N, height, width, channels\), got \(3,\)",
    ),
    "five axes": ({"x_train": X[None, None, None]}, r"must have shape \(N, d\), \(N, height, width\) or"),
    "no rows": ({"x_test": X[:0]}, r"x_test in .* must not be empty, got shape \(0, 3\)"),
    "no columns": ({"x_train": X[:, :0]}, r"x_train in .* must not be empty, got shape \(4, 0\)"),
    "nan": ({"x_train": NAN}, "x_train in .* must be finite, got NaN or infinity"),
    "inf": (
        {"x_train": np.ones((1, 2)), "x_test": np.array([[0, -np.inf]])},
        "x_test in .* must be finite",
    ),
    "columns": ({"x_test": X[:, :2]}, r"x_test in .* must have rows of shape \(3,\) as x_train, got \(2,\)"),
    "image and row": ({"x_test": X[:, None, :]}, r"must have rows of shape \(3,\) as x_train, got \(1, 3\)"),
    "two dtypes": ({"x_test": X / 255}, "x_test in .* must have the dtype of x_train, uint8, got float64"),
    "float labels": (
        {"labels_train": LABELS / 1},
        "labels_train in .* must have an integer dtype, got float64",
    ),
    "few labels": (
        {"labels_test": LABELS[:1]},
        r"labels_test in .* must have shape \(2,\), one for each example",
    ),
    "one-hot": ({"labels_train": np.eye(4, dtype=int)}, r"labels_train in .* must have shape \(4,\)"),
    "negative": ({"labels_train": LABELS - 1}, "labels_train in .* class numbers from 0 .* from -1 to 1"),
    "too large": ({"labels_train": np.full(4, 2**63, np.uint64)}, "labels_train in .* must be class numbers"),
}


@pytest.mark.parametrize(("arrays", "words"), BAD_ARRAYS.values(), ids=BAD_ARRAYS)
def test_bad_arrays(tmp_path, arrays, words):
    path = tmp_path / "own.npz"
    if "must have the key" not in words:
        arrays = {"x_train": X, "x_test": X[:2]} | arrays
    zip_of(path, **{key: npy(array) for key, array in arrays.items()})
    with pytest.raises(ValueError, match=words) as caught:
        data.load(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def claim(shape: tuple, dtype: str = "|u1", content: bytes = b"") -> bytes:
    """An NPY file whose header claims a shape, whatever its content."""
    header = repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + content


BAD_MEMBERS = {
    "no NPY": (b"hello", "x_train in .* must be an NPY array of numbers, got a bad header"),
    "empty": (b"", "x_train in .* must be an NPY array of numbers, got a bad header"),
    "version 3": (b"\x93NUMPY\x03" + npy(X)[7:], r"got a bad header \(NPY version \(3, 0\)\)"),
    "truncated": (npy(X)[:-1], r"x_train in .* must hold the array of shape \(4, 3\) that it declares"),
    "trailing": (npy(X) + b"\0", r"x_train in .* must hold the array of shape \(4, 3\) that it declares"),
    "claims a petabyte": (claim((10**12, 1000)), "must hold the array of shape .* that it declares"),
    "claims less than nothing": (claim((-1, -12), content=bytes(12)), "must hold the array of shape"),
    "header of code": (claim.__doc__.encode().join([b"\x93NUMPY\x01\x00\x2a\x00", b""]), "got a bad header"),
    "Python 2": (npy(X).replace(b"(4, 3)", b"(4L,3)"), r"got a bad header \(Reading .* Python 2"),
    "outdated dtype": (npy(X).replace(b"|u1", b"|a1"), "got a bad header"),
    "deep header": (b"\x93NUMPY\x01\x00\x88\x13" + b"(" * 5000, "got a bad header"),
    "claims what memory may hold": (
        claim((2 * 10**9,), content=b"0123456789"),
        "must hold the array of shape",
    ),
}


@pytest.mark.parametrize(("content", "words"), BAD_MEMBERS.values(), ids=BAD_MEMBERS)
def test_bad_members(tmp_path, content, words):
    path = zip_of(tmp_path / "own.npz", x_train=content, x_test=npy(X))
    with warnings.catch_warnings(), pytest.raises(ValueError, match=words) as caught:
        warnings.simplefilter("ignore")  # as a user's program may: what NumPy guesses is refused all the same
        data.load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("names", [("x_train.npy", "x_train.npy"), ("x_train.npy", "x_train")])
def test_a_key_that_is_there_twice_is_refused(tmp_path, names):
    path = tmp_path / "own.npz"
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
        warnings.simplefilter("ignore")  # zipfile warns of the second one
        for name, content in zip((*names, "x_test.npy"), (X, X + 1, X), strict=True):
            archive.writestr(name, npy(content))
    with pytest.raises(ValueError, match=r"must have every key once, got x_train twice$"):
        data.load(path)


def test_a_claimed_shape_reserves_no_memory(tmp_path, monkeypatch):
    """10 bytes that claim to be 2 GB are refused by the header alone; `numpy.load` would reserve the 2 GB."""
    path = zip_of(tmp_path / "own.npz", x_train=claim((2 * 10**9,), content=b"0123456789"), x_test=npy(X))

    def refuse(*_args, **_kwargs):
        raise AssertionError("the array was read")

    monkeypatch.setattr("numpy.lib.format.read_array", refuse)
    with pytest.raises(ValueError, match=r"must hold the array of shape \(2000000000,\) that it declares"):
        data.load(path)


def test_no_pickle_is_ever_loaded(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "made by a pickle"),)

    content = npy(np.array([[Evil()]], dtype=object))
    path = zip_of(tmp_path / "own.npz", x_train=content, x_test=npy(X))
    with pytest.raises(ValueError, match=r"got dtype object"):
        data.load(path)
    assert [p.name for p in tmp_path.iterdir()] == ["own.npz"]


def test_the_declared_size_is_bounded_before_anything_is_unpacked(tmp_path, monkeypatch):
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, x_train=np.zeros((1000, 1000), np.uint8), x_test=np.zeros((1, 1000), np.uint8))
    assert load_npz(path, max_bytes=1_001_256).x_train.size == 10**6  # two NPY headers of 128 bytes each

    def refuse(*_args, **_kwargs):
        raise AssertionError("a member was opened")

    monkeypatch.setattr(zipfile.ZipFile, "open", refuse)
    with pytest.raises(
        ValueError, match=r"must declare at most max_bytes = 1001255 bytes of arrays, got 1001256"
    ):
        load_npz(path, max_bytes=1_001_255)


def test_a_zip_that_understates_its_size_is_refused(tmp_path):
    path = tmp_path / "liar.npz"
    np.savez_compressed(path, x_train=np.zeros((1000, 1000), np.uint8), x_test=np.zeros((1, 1000), np.uint8))
    true, said = (1_000_128).to_bytes(4, "little"), (128 + 1000).to_bytes(4, "little")
    raw = path.read_bytes()
    central = raw.rindex(true)
    path.write_bytes(raw[:central] + said + raw[central + 4 :])
    with pytest.raises(ValueError, match=r"got a damaged one \(Bad CRC-32"):
        load_npz(path, max_bytes=10_000)


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04", b"text", npy(X)], ids=["empty", "stub", "text", "npy"]
)
def test_files_that_are_no_zip(tmp_path, content):
    path = tmp_path / "own.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"must be a whole NPZ file, got a damaged one \(File is not a zip"):
        data.load(path)


@given(cut=st.integers(1, 10**6))
def test_no_truncated_file_is_accepted(tmp_path_factory, cut):
    path = save(tmp_path_factory.mktemp("npz") / "own.npz", **GOOD)
    raw = path.read_bytes()
    path.write_bytes(raw[: -1 - cut % len(raw)])
    with pytest.raises(ValueError, match=r"must be a whole NPZ file"):
        data.load(path)


@given(position=st.integers(0, 10**6), flip=st.integers(1, 255), packed=st.booleans())
def test_a_flipped_byte_changes_no_number_unseen(tmp_path_factory, position, flip, packed):
    path = tmp_path_factory.mktemp("npz") / "own.npz"
    (np.savez_compressed if packed else np.savez)(path, **GOOD)
    raw = bytearray(path.read_bytes())
    raw[position % len(raw)] ^= flip
    path.write_bytes(raw)
    try:
        loaded = data.load(path)
    except ValueError as error:
        assert str(path) in str(error) and "\n" not in str(error)
    else:  # a time stamp, say, or the name of the labels, which may be absent
        np.testing.assert_array_equal(loaded.x_train, X)


@given(position=st.integers(0, 127), byte=st.integers(0, 255))
def test_a_damaged_header_gives_one_sentence(tmp_path_factory, position, byte):
    content = bytearray(npy(X))
    content[position] = byte
    path = zip_of(tmp_path_factory.mktemp("npz") / "own.npz", x_train=bytes(content), x_test=npy(X))
    try:
        data.load(path)
    except ValueError as error:
        assert str(path) in str(error) and "\n" not in str(error)


def test_paths_that_are_no_files(tmp_path, monkeypatch):
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(IsADirectoryError, match=r"must be an NPZ file, got a directory$"):
        data.load(tmp_path / "folder.npz")
    with pytest.raises(FileNotFoundError, match=r"none\.npz must be an NPZ file, got nothing by that name$"):
        data.load(tmp_path / "none.npz")
    path = save(tmp_path / "own.npz", **GOOD)

    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(zipfile.ZipFile, "__init__", refuse)
    monkeypatch.setattr(zipfile.ZipFile, "__del__", lambda self: None)
    with pytest.raises(PermissionError, match=r"must be readable, got permission denied$"):
        data.load(path)


@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (1.5, TypeError), (None, TypeError)])
def test_bad_max_bytes(value, error):
    with pytest.raises(error, match=r"max_bytes must be an integer"):
        load_npz("own.npz", max_bytes=value)


# ---------------------------------------------------------------- Dataset and its hash


def test_sha256_is_the_documented_recipe():
    loaded = checked_dataset("own", GOOD, source="folder")
    recipe = b"x_train uint8 (4, 3)\n" + bytes(range(12)) + b"x_test uint8 (2, 3)\n" + bytes(range(6))
    for name, values in (("labels_train", [0, 1, 2, 0]), ("labels_test", [0, 1])):
        recipe += f"{name} int64 ({len(values)},)\n".encode()
        recipe += b"".join(value.to_bytes(8, "little") for value in values)
    assert loaded.sha256 == hashlib.sha256(recipe).hexdigest()


def test_sha256_does_not_depend_on_layout_but_on_every_value():
    usual = checked_dataset("own", GOOD, source="folder").sha256
    other_layout = {"x_train": np.asfortranarray(X), "labels_train": LABELS.astype(">i2")}
    assert checked_dataset("other", GOOD | other_layout, source="cache").sha256 == usual
    for key, array in GOOD.items():
        changed = array.copy()
        changed.flat[-1] += 1
        assert checked_dataset("own", GOOD | {key: changed}, source="folder").sha256 != usual
    assert (
        checked_dataset("own", {k: GOOD[k] for k in ("x_train", "x_test")}, source="folder").sha256 != usual
    )


def test_a_dataset_is_frozen():
    loaded = checked_dataset("own", GOOD, source="folder")
    with pytest.raises(AttributeError):
        loaded.name = "other"


# ---------------------------------------------------------------- scaled


@pytest.mark.parametrize("dtype", ["float32", "float64", np.float32, np.dtype("float64")])
def test_pixels_become_the_nearest_numbers(dtype):
    pixels = np.arange(256, dtype=np.uint8).reshape(2, 128)
    numbers = data.scaled(pixels, dtype)
    assert numbers.dtype == np.dtype(dtype) and numbers.shape == (2, 128)
    # k/255 in double, then rounded: rounding a quotient twice is harmless where the wider format has at least
    # 2p + 2 = 50 bits, and double has 53
    expected = np.array([k / 255 for k in range(256)]).astype(dtype).reshape(2, 128)
    np.testing.assert_array_equal(numbers, expected)
    assert numbers.min() == 0 and numbers.max() == 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floats_are_only_cast_and_always_copied(readonly, dtype):
    x = readonly([[0.1, -7.0, 3e5]], dtype="float32")
    numbers = data.scaled(x, dtype)
    np.testing.assert_array_equal(numbers, x)
    assert numbers.dtype == np.dtype(dtype) and not np.shares_memory(numbers, x)


@pytest.mark.parametrize(
    ("x", "dtype", "error", "words"),
    [
        (X, "float16", ValueError, "dtype must be one of float32, float64, got 'float16'"),
        (X, "flaot32", ValueError, "did you mean 'float32'"),
        (X, "uint8", ValueError, "dtype must be one of"),
        (X[:0], "float32", ValueError, r"x must not be empty, got shape \(0, 3\)"),
        (NAN, "float32", ValueError, "x must be finite"),
        (np.array([[1e300, 0]]), "float32", ValueError, r"x must fit float32, got the magnitude 1e\+300"),
        (X.astype(np.int32), "float32", TypeError, "x must have dtype uint8, float32, float64, got int32"),
        ([[1.0]], "float32", TypeError, "x must be a NumPy array, got list"),
    ],
)
def test_scaled_refuses(x, dtype, error, words):
    with pytest.raises(error, match=words):
        data.scaled(x, dtype)
