r"""The demonstration: prove the identities, draw the matching losses, train a small autoencoder four ways.

The network is a small CURVES autoencoder; every method trains for the same number of epochs, from the same
weights, on the same batches, with the settings below. They are first settings, not tuned ones, of all four
alike, and the summary says what came out, whoever wins.
"""

import os
from pathlib import Path
from typing import Any

from locoprop_ref import checks
from locoprop_ref.backend import namespace
from locoprop_ref.data import Dataset, load, scaled
from locoprop_ref.data.files import user_path, write_atomically
from locoprop_ref.training import TrainedRun, train
from locoprop_ref.training.apply import outputs
from locoprop_ref.training.config import resolve
from locoprop_ref.training.options import Config
from locoprop_ref.verify import table, verify

LAYERS = "784-100-50-6-50-100-784"
SETTINGS: dict[str, dict[str, Any]] = {
    "backprop": {"optimizer": "rmsprop", "learning_rate": 1e-3},
    "locoprop-s": {"local_lr": 3e-5},
    "locoprop-s-closed": {"target_step": 100.0, "weight_step": 0.1},
    "locoprop-m": {"local_lr": 3e-5},
}
ABOUT = """Figures, run files and networks of the demonstration of LocoProp.

They are written by `locoprop-ref demo`, which replaces them when it runs again.
"""
LABELS = {
    "backprop": "BackProp (RMSProp)",
    "locoprop-s": "LocoProp-S, K steps",
    "locoprop-s-closed": "LocoProp-S, closed form",
    "locoprop-m": "LocoProp-M, K steps",
}


def configs(seed: int = 0, epochs: int = 6) -> list[Config]:
    """Return the four experiments: data, network, batches and epochs in common."""
    common: dict[str, Any] = {
        "data": "curves",
        "layers": LAYERS,
        "batch_size": 500,
        "epochs": epochs,
        "schedule": "constant",
    }
    return [resolve(method=name, seed=seed, **common, **own) for name, own in SETTINGS.items()]


def demo(out: str | os.PathLike[str], *, seed: int = 0, overwrite: bool = False) -> int:
    """Run the demonstration into a folder; return 0, or 1 where an identity fails.

    Args:
        out: the folder: a new one, an empty one, or that of an earlier demonstration, which is replaced.
        seed: of the weights and the batches.
        overwrite: whether the files of another folder may be replaced.

    Raises:
        FileExistsError: a folder with other files in it, and `overwrite` is False.
        OSError: the folder cannot be written.
    """
    from locoprop_ref.plot import figures, reconstructions, save, training_curves

    out = user_path(out, "out")
    _claim(out, overwrite)
    print("1. Every identity of the method against its bound\n", flush=True)
    identities = verify(seed, namespace("numpy"))
    print(table(identities))
    held = sum(identity.holds for identity in identities)
    print(f"{held} of {len(identities)} identities hold\n\n2. Matching losses", flush=True)
    for path in figures(out, overwrite=True):
        print(f"  {path}")
    print(f"\n3. A CURVES autoencoder, {LAYERS}, four ways", flush=True)
    trained = []
    for config in configs(seed):
        print(f"  {LABELS[config.method]}", flush=True)
        run_file = out / f"run-{config.method}.json"
        trained.append(train(config, out=run_file, overwrite=True))
    runs, labels = [result.run for result in trained], list(LABELS.values())
    for metric in ("train ce", "test ce"):
        path = out / f"{metric.replace(' ', '-')}.png"
        print(f"  {save(training_curves(runs, metric, labels=labels), path)}")
    images, rows = _strip(load("curves"), trained)
    print(f"  {save(reconstructions(images, rows), out / 'reconstructions.png')}")
    print("\n" + summary(runs, labels))
    return 0 if held == len(identities) else 1


def _claim(folder: Path, overwrite: bool) -> None:
    """Refuse a folder with files that are no demonstration's; else write down what the folder is."""
    note = folder / "README.txt"
    ours = note.is_file() and note.read_bytes() == ABOUT.encode()
    found = next(iter(sorted(folder.iterdir())), None) if folder.is_dir() else None
    if found and not ours and not checks.boolean("overwrite", overwrite):
        raise FileExistsError(
            f"out must be a new folder, or one of a demonstration, got {folder} with {found.name} in it "
            "(--overwrite)"
        )
    write_atomically(note, lambda file: file.write(ABOUT.encode()))


def _strip(data: Dataset, trained: list[TrainedRun], count: int = 12) -> tuple[Any, dict[str, Any]]:
    """Return test images, and their reconstructions by label."""
    x = data.x_test[:count]
    rows = {LABELS[r.run["config"]["method"]]: outputs(r.network, x) for r in trained}
    return scaled(x, "float64"), rows


def summary(runs: list[dict[str, Any]], labels: list[str]) -> str:
    """Return a table of the runs' last epochs, and sentences on who won, by how much, by which measure."""
    last = [run["epochs"][-1] for run in runs]
    seconds = [sum(row["step_seconds"] for row in run["epochs"]) for run in runs]
    lines = [f"{'':26}{'train ce':>9} {'test ce':>9} {'seconds':>8}"]
    for label, row, s in zip(labels, last, seconds, strict=True):
        lines.append(f"{label:26}{row['train']['ce']:9.2f} {row['test']['ce']:9.2f} {s:8.1f}")
    epochs = last[0]["epoch"]
    lines += [
        _verdict(f"Train loss after {epochs} epochs", labels, [row["train"]["ce"] for row in last]),
        _verdict(f"Test loss after {epochs} epochs", labels, [row["test"]["ce"] for row in last]),
        _verdict(f"Seconds for {epochs} epochs", labels, seconds),
        _by_the_clock(runs, labels, min(seconds)),
        "One seed and untuned settings: a demonstration, not a comparison.",
    ]
    return "\n".join(lines)


def _verdict(what: str, labels: list[str], values: list[float]) -> str:
    ranked = sorted(zip(values, labels, strict=True))
    (best, winner), *others = ranked
    behind = ", ".join(f"{label} {100 * (value / best - 1):.0f} % more" for value, label in others)
    return f"{what}: least with {winner}" + (f"; {behind}." if others else ".")


def _by_the_clock(runs: list[dict[str, Any]], labels: list[str], budget: float) -> str:
    """Compare the losses that stood when the quickest run had finished."""
    reached, late = [], []
    for run, label in zip(runs, labels, strict=True):
        spent, loss = 0.0, None
        for row in run["epochs"]:
            spent += row["step_seconds"]
            if row["epoch"] and spent <= budget * (1 + 1e-9):
                loss = row["train"]["ce"]
        if loss is None:
            late.append(label)
        else:
            reached.append((label, loss))
    verdict = _verdict(f"Train loss after {budget:.1f} s of training", *map(list, zip(*reached, strict=True)))
    return f"{verdict} No epoch finished by then: {', '.join(late)}." if late else verdict
