"""MNIST and Fashion-MNIST: from the user's folder, else from the cache, else from a mirror; always checked.

pooch downloads into the cache alone, and keeps a file only if its SHA-256 is the published one. The user's
own files are opened for reading and hashed here.
"""

import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from locoprop_ref.data.cache import CACHE_VARIABLE, cache_folder
from locoprop_ref.data.dataset import Dataset, checked_dataset
from locoprop_ref.data.files import user_path
from locoprop_ref.data.idx import Idx, read_idx

#: Environment variable that names a folder with the user's data sets.
DATA_VARIABLE = "LOCOPROP_REF_DATA"


@dataclass(frozen=True)
class IdxFile:
    """One file of a data set: the name and shape of its array, and the published hashes.

    Attributes:
        key: name of the array in the data set.
        name: file name without the ending .gz.
        shape: of the array.
        gz_sha256: hash of the gzip file at the mirrors.
        sha256: hash of the decompressed bytes; None if it is not published.
    """

    key: str
    name: str
    shape: tuple[int, ...]
    gz_sha256: str
    sha256: str | None


@dataclass(frozen=True)
class IdxSet:
    """Four IDX files, the usual places for them below the user's folder, and their mirrors."""

    name: str
    title: str
    folders: tuple[str, ...]
    mirrors: tuple[str, ...]
    files: tuple[IdxFile, ...]


def _files(*hashes: tuple[str, str | None]) -> tuple[IdxFile, ...]:
    layout: tuple[tuple[str, str, tuple[int, ...]], ...] = (
        ("x_train", "train-images-idx3-ubyte", (60_000, 28, 28)),
        ("labels_train", "train-labels-idx1-ubyte", (60_000,)),
        ("x_test", "t10k-images-idx3-ubyte", (10_000, 28, 28)),
        ("labels_test", "t10k-labels-idx1-ubyte", (10_000,)),
    )
    return tuple(IdxFile(*place, *pair) for place, pair in zip(layout, hashes, strict=True))


# fmt: off
IDX_SETS = {
    # LeCun, Cortes, Burges; the folder MNIST/raw is torchvision's
    "mnist": IdxSet(
        name="mnist", title="MNIST", folders=("MNIST/raw", "mnist", "."),
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        files=_files(  # of the .gz at the mirrors, of the decompressed bytes
            ("440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
             "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
            ("3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
             "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
            ("8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
             "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
            ("f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
             "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
        ),
    ),
    # Zalando Research, MIT licence; the hashes of the decompressed bytes are not published
    "fashion_mnist": IdxSet(
        name="fashion_mnist", title="Fashion-MNIST",
        folders=("FashionMNIST/raw", "fashion_mnist", "fashion", "."),
        mirrors=(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ),
        files=_files(
            ("3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84", None),
            ("a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845", None),
            ("346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073", None),
            ("67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5", None),
        ),
    ),
}
# fmt: on


class _NotHere(FileNotFoundError):
    """The user's folder does not hold this data set."""


def load_idx_set(
    idx_set: IdxSet,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    download: bool = True,
) -> Dataset:
    """Load four IDX files; see `locoprop_ref.data.load`, which documents the arguments and the errors."""
    reason = "no folder was named"
    folder = data_dir if data_dir is not None else os.environ.get(DATA_VARIABLE)
    if folder:
        try:
            return _from_folder(idx_set, user_path(folder, "data_dir"))
        except _NotHere as error:
            if data_dir is not None:  # the caller asked for this folder: no other source may replace it
                raise
            reason = str(error)
    cache = cache_folder(cache_dir) / idx_set.name
    arrays = {file.key: _cached(cache, file) for file in idx_set.files}
    missing = [file for file in idx_set.files if arrays[file.key] is None]
    if missing and not download:
        raise FileNotFoundError(
            f"{idx_set.title} must be downloaded, but download is False; {reason}; {_advice()}"
        )
    for file in missing:
        _download(idx_set, file, cache, reason)
        arrays[file.key] = read_idx(cache / f"{file.name}.gz", file.shape)
    found = {key: idx.array for key, idx in arrays.items() if idx is not None}
    return checked_dataset(idx_set.name, found, source="download" if missing else "cache")


def _from_folder(idx_set: IdxSet, folder: Path) -> Dataset:
    """Load the user's own copy, plain or gzipped; the hash of the decompressed bytes identifies it."""
    place, paths = _find(idx_set, folder)
    arrays, unverified = {}, False
    for file, path in zip(idx_set.files, paths, strict=True):
        if path is None:
            raise FileNotFoundError(
                f"{place} must hold the four files of {idx_set.title}, but {file.name} is missing"
            )
        idx = read_idx(path, file.shape)
        _check_published(idx_set, file, path, idx)
        unverified |= file.sha256 is None and idx.file_sha256 != file.gz_sha256
        arrays[file.key] = idx.array
    note = (
        f"The hash of the decompressed {idx_set.title} is not published, and not all files in the folder are "
        "the published gzip files; magic, counts and length were checked."
    )
    return checked_dataset(idx_set.name, arrays, source="folder", notes=(note,) if unverified else ())


def _find(idx_set: IdxSet, folder: Path) -> tuple[Path, list[Path | None]]:
    """Return the first of the usual places that has one of the files, and the four paths (None: missing)."""
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"data_dir (or {DATA_VARIABLE}) must be a folder, got {str(folder)!r}")
    for place in (folder / name for name in idx_set.folders):
        paths = [_plain_or_gz(place / file.name) for file in idx_set.files]
        if any(paths):
            return place, paths
    raise _NotHere(
        f"{folder} must hold {idx_set.title}'s IDX files (such as {idx_set.files[0].name}), got none of them"
    )


def _plain_or_gz(path: Path) -> Path | None:
    return next((p for p in (path, path.with_name(path.name + ".gz")) if os.path.exists(p)), None)


def _check_published(idx_set: IdxSet, file: IdxFile, path: Path, idx: Idx) -> None:
    """Compare the hash with the published one, and with those of the other set of the same file names."""
    if file.sha256 is not None and idx.sha256 != file.sha256:
        raise ValueError(
            f"{path} must decompress to the {idx_set.title} file of SHA-256 {file.sha256}, got {idx.sha256}"
        )
    for other in IDX_SETS.values():
        if other.name != idx_set.name and idx.sha256 in {known.sha256 for known in other.files}:
            raise _NotHere(
                f"{path} must be of {idx_set.title}, got the file of {other.title} (by its SHA-256)"
            )


def _cached(cache: Path, file: IdxFile) -> Idx | None:
    """Return the file in the cache, or None if its bytes are not the published ones."""
    try:
        idx = read_idx(cache / f"{file.name}.gz", file.shape)
    except (OSError, ValueError):
        return None
    return idx if idx.file_sha256 == file.gz_sha256 else None


def _download(idx_set: IdxSet, file: IdxFile, cache: Path, reason: str) -> None:
    """Download a file from the first mirror that has the published bytes.

    Raises:
        ConnectionError: no mirror has them; the sentence gives the reason for each, and says what to do.
        OSError: the cache cannot be written.
    """
    import pooch

    _make_writable(cache, idx_set)
    pooch.get_logger().setLevel("WARNING")  # one sentence, raised here, says what went wrong
    downloader = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), chunk_size=1 << 16, timeout=30)
    failures = []
    for mirror in idx_set.mirrors:
        try:
            pooch.retrieve(
                mirror + file.name + ".gz",
                known_hash=f"sha256:{file.gz_sha256}",
                fname=f"{file.name}.gz",
                path=cache,
                downloader=downloader,
            )
            return
        except (OSError, ValueError) as error:  # no connection, HTTP status; wrong hash
            what = "wrong SHA-256" if type(error) is ValueError else type(error).__name__
            failures.append(f"{urlsplit(mirror).hostname}: {what}")
    raise ConnectionError(
        f"{idx_set.title} could not be downloaded ({file.name}.gz from {', '.join(failures)}); {reason}; "
        f"{_advice()}"
    )


def _make_writable(cache: Path, idx_set: IdxSet) -> None:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=cache):
            pass
    except OSError as error:
        raise type(error)(
            f"the cache folder {cache} must be writable to hold {idx_set.title}, got {error.strerror}; "
            f"name another with {CACHE_VARIABLE}"
        ) from None


def _advice() -> str:
    return (
        "put the four IDX files (plain or .gz) into a folder and name that folder with data_dir (--data-dir) "
        f"or {DATA_VARIABLE}"
    )
