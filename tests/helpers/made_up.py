"""Results folders of made-up numbers, for the tests of table, claims and figures."""

import json

from locoprop_ref.experiments.tuned import ALL, LABELS

ENVIRONMENT = {
    "locoprop-ref": "0.1.0",
    "python": "3.11.0",
    "machine": "Linux x86_64",
    "cores": 2,
    "versions": {"numpy": "2.0"},
    "backend": {"name": "numpy", "version": "2.0", "device": "cpu"},
    "blas": [{"library": "openblas", "version": "0.3", "kernel": "Zen", "threads": 2}],
    "variables": {},
}
SHA = "ab" * 32


def manifest(contestants, seeds, epochs, **more):
    return {
        "schema": 1,
        "kind": "comparison",
        "command": "locoprop-ref compare --made-up",
        "preset": "standard",
        "seeds": list(seeds),
        "shared": {"epochs": epochs, "batch_size": 100, "layers": "9-4-9", "data": "tiny", "images": None},
        "contestants": {
            name: {"label": LABELS[name], "tuned": False, "settings": dict(ALL[name]), "study": None}
            for name in contestants
        },
        "data": {"name": "tiny", "sha256": SHA, "train": 1000, "test": 100},
        "environment": ENVIRONMENT,
    } | more


def run(train, test=None, *, status="finished", jobs=1, seconds=2.0, seed=0, **more):
    """A run file whose epochs have these train losses; test losses are 1 more unless given."""
    rows = [
        {
            "epoch": epoch,
            "train": {"ce": loss, "mse": loss / 100},
            "test": {"ce": loss + 1 if test is None else test[epoch], "mse": loss / 90},
            "step_seconds": seconds if epoch else 0.0,
            "eval_seconds": 0.1,
        }
        for epoch, loss in enumerate(train)
    ]
    return {
        "schema": 1,
        "config": {"method": "backprop", "seed": seed},
        "data": {"name": "tiny", "sha256": SHA},
        "environment": ENVIRONMENT,
        "epochs": rows,
        "status": status,
        "jobs": jobs,
    } | more


def clock(mean, *, blocks=None, state=0, peak=1000, counted=900):
    """A clock file; bytes are in multiples of the parameters' 100."""
    blocks = [mean, mean] if blocks is None else blocks
    return {
        "schema": 1,
        "contestant": "made up",
        "command": "locoprop-ref compare --made-up",
        "config": {},
        "environment": ENVIRONMENT,
        "step": {
            "warm_up": 3, "steps": 20, "interval": 1, "steps_per_epoch": 10, "seconds": [mean] * 20,
            "mean": mean, "median": mean / 2, "low": mean, "high": mean, "blocks": blocks,
        },
        "memory": {
            "parameters": 25, "parameter_bytes": 100, "state_bytes": state, "peak_bytes": peak,
            "counted": {"parameters": 50, "state": 0, "batch": 175}, "counted_bytes": counted,
        },
    }  # fmt: skip


def write(folder, runs, clocks=None, *, seeds=(0, 1, 2), epochs=3, **more):
    """A folder with runs {contestant: [run of each seed]} and clocks {contestant: clock}."""
    folder.mkdir(parents=True, exist_ok=True)
    plan = manifest(runs, seeds, epochs, **more)
    files = {"comparison.json": plan}
    shared = {key: value for key, value in plan["shared"].items() if key not in ("epochs", "images")}
    for name, found in runs.items():
        for seed, one in zip(seeds, found, strict=False):
            own = shared | one["config"] | ALL[name] | {"seed": seed}
            files[f"{name}-seed{seed}.json"] = one | {"config": own}
    for name, one in (clocks or {}).items():
        own = one["config"] | shared | ALL.get(name, {})
        files[f"{name}-clock.json"] = one | {"contestant": name, "config": own}
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    return folder
