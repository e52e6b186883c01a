"""A plan and the results folder that it is for: refused where they disagree, joined where they agree."""

from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import asdict, replace

from locoprop_ref.data import Dataset, load
from locoprop_ref.data.dataset import checked_dataset
from locoprop_ref.data.files import write_atomically
from locoprop_ref.experiments.compare.folder import MANIFEST, read_manifest, run_path
from locoprop_ref.experiments.compare.plan import Comparison
from locoprop_ref.experiments.compare.records import Data, Manifest, Plan, differences, said_by
from locoprop_ref.experiments.tuned import LABELS
from locoprop_ref.training.run_file import read_run


def manifest_of(plan: Plan, data: Dataset, environment: dict[str, Any]) -> Manifest:
    """Return the manifest of a plan alone."""
    about = Data(data.name, data.sha256, len(data.x_train), len(data.x_test))
    return Manifest(**asdict(plan), data=about, environment=environment)


def refuse_another_plan(folder: Path, here: Plan, data: Data | None = None) -> Manifest | None:
    """Return the manifest of a folder, None where there is none; refuse one that the plan does not fit.

    Args:
        folder: the results folder.
        here: the plan.
        data: the plan's data, None where they are not known yet.

    Raises:
        ValueError: the folder holds runs of another configuration; the sentence names the differences.
    """
    if not (folder / MANIFEST).exists():
        return None
    there = read_manifest(folder)
    # of epochs that no run came to the plan may give up some, and it may have more
    epochs = max(_epochs_run(folder, there), here.epochs)
    found = differences(there.shared | {"epochs": epochs, "data": here.shared["data"]}, here.shared)
    if data:
        old, new = ({"data": one.name, "data sha256": one.sha256[:8]} for one in (there.data, data))
        found += differences(old, new)
    for name, entry in here.entries.items():
        if name in there.entries:
            found += differences(there.entries[name].settings, entry.settings, of=name)
    _refuse(folder, found)
    return there


def join(folder: Path, here: Manifest) -> Manifest:
    """Return the manifest that a folder gets: the plan's, or the folder's own with the plan's runs added.

    Raises:
        ValueError: see `refuse_another_plan`.
    """
    there = refuse_another_plan(folder, here, here.data)
    for entry in here.entries:
        for seed in here.seeds:
            if (path := run_path(folder, entry, seed)).exists():
                said, wanted = said_by(read_run(path)), here.wanted_of_run(entry, seed)
                _refuse(folder, differences(said, wanted, of=entry))
    if there is None:
        return here
    known = there.entries | here.entries
    return replace(
        there,
        command=_both_commands(there, here),
        seeds=sorted({*there.seeds, *here.seeds}),
        shared=here.shared,
        entries={name: known[name] for name in LABELS if name in known},
    )


def _epochs_run(folder: Path, plan: Plan) -> int:
    """Return the last epoch of the longest run of a plan, among entries that have the plan's epochs."""
    names = [name for name, entry in plan.entries.items() if "epochs" not in entry.settings]
    paths = (run_path(folder, name, seed) for name in names for seed in plan.seeds)
    return max((read_run(path)["epochs"][-1]["epoch"] for path in paths if path.exists()), default=0)


def _both_commands(there: Manifest, here: Manifest) -> str:
    """Return what makes a folder: one command, where it makes all of it, else those before and this one."""
    before, now = ({(name, seed) for name in one.entries for seed in one.seeds} for one in (there, here))
    if now >= before:
        return here.command
    commands = there.command.split(" && ")
    if here.command in commands or (before >= now and there.epochs == here.epochs):
        return there.command
    return " && ".join([*commands, here.command])


def _refuse(folder: Path, found: list[str]) -> None:
    if found:
        more = f" and {len(found) - 6} more" if len(found) > 6 else ""
        raise ValueError(f"{folder} holds runs of another configuration: {'; '.join(found[:6])}{more}")


def data_of(plan: Comparison, folder: Path, data_dir: str | None) -> tuple[str, Dataset]:
    """Return what `config.data` says for the runs, and the data set; for a part of one, see `keep_part`.

    Raises:
        OSError, ValueError: data that cannot be had.
    """
    data = str(plan.shared["data"])
    if plan.images is None:
        return data, load(data, data_dir=data_dir)
    path = folder / f"{data}-{plan.images[0]}.npz"
    if path.exists() and (folder / MANIFEST).exists():  # which knows its SHA-256
        return str(path), load(path)
    whole = load(data, data_dir=data_dir)
    part = {"x_train": whole.x_train[: plan.images[0]], "x_test": whole.x_test[: plan.images[1]]}
    dataset = checked_dataset(path.name, part, source="folder")
    if path.exists() and load(path).sha256 != dataset.sha256:
        raise ValueError(f"{path} must be the first {plan.images[0]} images of {data}, got other data")
    return str(path), dataset


def keep_part(plan: Comparison, path: Path, dataset: Dataset) -> None:
    """Write the part of a data set that is compared on into the results folder, for its runs."""
    if plan.images is not None and not path.exists():
        x_train, x_test = dataset.x_train, dataset.x_test
        write_atomically(path, lambda file: np.savez(file, x_train=x_train, x_test=x_test))
