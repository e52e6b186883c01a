"""Notebooks, answers, examples, and the results that notebook 5 draws, as copies that a reader may change.

In a clone of the project they stand beside the package; an installed package holds them in its folder
`material`, where `setup.py` puts them.
"""

import os
from pathlib import Path

from locoprop_ref import checks
from locoprop_ref.data.files import real_path, user_path, write_atomically

# folder → what of it is copied
_PARTS = {"notebooks": "*.ipynb", "answers": "*.md", "examples": "*.*", "results": "*/*.json"}
_PACKAGE = Path(__file__).resolve().parent.parent


def copy_material(out: str | os.PathLike[str], *, overwrite: bool = False) -> tuple[list[Path], list[Path]]:
    """Copy the folders `notebooks`, `answers`, `examples`, `results` into a folder; what exists stays.

    Args:
        out: the folder, which is created.
        overwrite: whether copies that exist are replaced, with what a reader has changed in them.

    Returns:
        the files that were written, and those that were left as they are.

    Raises:
        FileNotFoundError: the package was installed without them.
        ValueError: `out` is the project itself.
        OSError: a file cannot be written.
    """
    checks.boolean("overwrite", overwrite)
    folder, source = user_path(out, "out"), material_folder()
    if real_path(folder) == real_path(source):
        raise ValueError(f"out must be another folder than that of the notebooks themselves, got {folder}")
    written: list[Path] = []
    kept: list[Path] = []
    for part, pattern in _PARTS.items():
        for file in sorted((source / part).glob(pattern)):
            target = folder / file.relative_to(source)
            if target.exists() and not overwrite:
                kept.append(target)
                continue
            _copy(file, target)
            written.append(target)
    return written, kept


def _copy(file: Path, target: Path) -> None:
    content = file.read_bytes()
    write_atomically(target, lambda stream: stream.write(content))


def material_folder(package: Path = _PACKAGE) -> Path:
    """Return where the notebooks are: in the package, or beside it in a clone.

    Args:
        package: folder of the package.

    Raises:
        FileNotFoundError: neither.
    """
    for folder in (package / "material", package.parent):
        if (folder / "notebooks" / "1-first-step-is-backprop.ipynb").is_file():
            return folder
    raise FileNotFoundError(
        "notebooks must be part of the installed package, got none: build it from a clone of the project"
    )
