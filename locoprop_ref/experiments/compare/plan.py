"""What is compared: entries × seeds on one data set and network; all but their settings in common.

An entry is a method with its optimizer, by the name that it has in tables and figures.

>>> plan = comparison("quick", entries=["rmsprop", "locoprop-m"])
>>> plan.config("rmsprop", 1).layers == plan.config("locoprop-m", 1).layers
True
>>> comparison("lenett")
Traceback (most recent call last):
    ...
ValueError: preset must be one of quick, ..., poster-signs, got 'lenett' (did you mean 'lenet'?)
"""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

from locoprop_ref import checks
from locoprop_ref.data import NAMES
from locoprop_ref.experiments.compare.records import Entry, Plan
from locoprop_ref.experiments.tuned import ALL, CONTESTANTS, LABELS, PROBLEMS, lender, options, provenance
from locoprop_ref.methods.registry import OFFLINE
from locoprop_ref.training.config import APPLIES, resolve
from locoprop_ref.training.options import Config, as_json

# Networks that classify. The steps of SGD make little progress, and those of LocoProp by K steps take several
# times as long as the others': they have 3 epochs. Every run has the authors' schedule of its own length, the
# default of `train`: one epoch longer than the run, so that the rate falls linearly over all of it and ends
# just above 0, whatever its length (below 20 epochs the schedule has no warm-up). With a constant rate the
# last epochs would show the noise of batches of 100; a schedule of one length for all would leave the short
# runs in its middle
_CLASSIFY: dict[str, Any] = {
    "data": "mnist",
    "task": "classify",
    "batch_size": 100,
    "seeds": (0, 1, 2),
    "methods": ("sgd", "rmsprop", "adam", "kfac", "locoprop-s", "locoprop-s-closed", "locoprop-m"),
    "fewer_epochs": {"sgd": 3, "locoprop-s": 3, "locoprop-m": 3},
}
# The networks of alternating minimization's announcement, whose claim is the speed of the first epoch: the
# settings are tuned for that epoch, at a constant rate. In the later ones the rate stays what it was, for
# all: a falling one would be another run than the one that was tuned, and would hide a rate that is too large
_POSTER: dict[str, Any] = {
    "data": "mnist",
    "task": "classify",
    "batch_size": 200,
    "schedule": "constant",
    "seeds": (0, 1, 2),
    "evaluate_steps": "1,2,5,10,20,50,100,200,300",
}
PRESETS: dict[str, dict[str, Any]] = {
    # some minutes on two cores; network, number of images, batches and schedule are those that the
    # settings for CURVES were tuned with
    "quick": {
        "data": "curves",
        "layers": "784-100-50-6-50-100-784",
        "batch_size": 500,
        "epochs": 12,
        "schedule_epochs": 48,
        "seeds": (0,),
        "images": (10000, 2000),
    },
    # the data set's classic network
    "standard": {
        "data": "curves",
        "batch_size": 1000,
        "epochs": 10,
        "schedule_epochs": 40,
        "seeds": (0, 1, 2),
    },
    # the authors' experiment: 99 epochs of a schedule of length 100
    "paper": {"data": "mnist", "batch_size": 1000, "epochs": 99, "schedule_epochs": 100, "seeds": (0, 1, 2)},
    # LeNet-5 with mean pooling; images row by row in a recurrent network
    "lenet": {**_CLASSIFY, "layers": "28x28x1-c5x6+2-p2-c5x16-p2-120-84-10", "epochs": 12},
    "sequential-mnist": {**_CLASSIFY, "layers": "28x28-r128-10", "epochs": 15},
    # the methods that take all images at once have 40 iterations on them
    "poster": {
        **_POSTER,
        "layers": "784-100-100-10",
        "transfer": "relu",
        "epochs": 10,
        "methods": (
            "sgd", "adam", "locoprop-s", "locoprop-s-closed", "locoprop-m", "adam-as-am", "am-sgd", "am-adam",
            "am-mem", "dtp", "offline-admm", "offline-bcd", "offline-mac",
        ),
        "fewer_epochs": {"offline-admm": 40, "offline-bcd": 40, "offline-mac": 40},
    },
    # a first layer of sign units below tanh, which DTP was made for
    "poster-signs": {
        **_POSTER,
        "layers": "784-200-200-10",
        "transfer": "sign,tanh,softmax",
        "epochs": 5,
        "methods": ("am-adam", "dtp", "ste", "ste-frozen"),
    },
}  # fmt: skip
# what an offline method has no use for: it takes all examples in every step
NOT_OFFLINE = ("batch_size", "evaluate_steps")
# what an entry may have to itself; every other option is shared
OWN = tuple(name for name in ("method", "frozen_layers", *APPLIES) if name not in NOT_OFFLINE)
# what an entry with its own number of epochs has to itself too
LENGTH = ("epochs", "schedule_epochs")
# what a stored study says of its problem, as options of a run
TUNED_ON = ("data", "task", "layers", "transfer", "width", "batch_size", "dtype", "schedule")
# what settings are not tuned for: finals are shorter than runs, every array library computes the same
FREE = ("epochs", "schedule_epochs", "backend", "device")


@dataclass(frozen=True)
class Comparison:
    """A comparison, checked; make one with `comparison`.

    Attributes:
        preset: where it began.
        entries: names from `tuned.ALL`.
        seeds: seeds of the weights and the batches, the same for every entry.
        shared: options of `config.resolve` that all entries have in common.
        images: how many training and test images are taken, the first ones of the data set; None for all.
        tuned: whether entries have the settings that `locoprop-ref tune` found, else the defaults.
        fewer_epochs: entries that have an own number of epochs, with a schedule of that length.
    """

    preset: str
    entries: tuple[str, ...]
    seeds: tuple[int, ...]
    shared: Mapping[str, Any]
    images: tuple[int, int] | None
    tuned: bool
    fewer_epochs: Mapping[str, int] = field(default_factory=dict)

    @property
    def problem(self) -> str:
        """Whose tuned settings serve: the preset's where it has its own, else MNIST's for all but CURVES."""
        if self.preset in PROBLEMS:
            return self.preset
        return "curves" if self.shared["data"] == "curves" else "mnist"

    def options(self, entry: str, seed: int, data: str | None = None) -> dict[str, Any]:
        """Return the options of one run for `config.resolve`; `data` says where the images really are."""
        own = options(entry, self.problem) if self.tuned else ALL[entry]
        left_out = NOT_OFFLINE if is_offline(entry) else ()
        shared = {name: value for name, value in self.shared.items() if name not in left_out}
        shared |= {} if data is None else {"data": data}
        epochs = {"epochs": self.fewer_epochs[entry]} if entry in self.fewer_epochs else {}
        return {name: value for name, value in own.items() if name in OWN} | {
            **shared,
            **epochs,
            "seed": seed,
        }

    def config(self, entry: str, seed: int) -> Config:
        """Return the settings of one run, checked and complete."""
        return resolve(**self.options(entry, seed))

    def in_common(self) -> dict[str, Any]:
        """Return what all entries share, resolved, as JSON values."""
        # one of the usual entries: what all share does not depend on who they are
        resolved = as_json(resolve(**CONTESTANTS["sgd"], **self.shared))
        resolved = {k: v for k, v in resolved.items() if k not in OWN and k != "seed"}
        return resolved | {"data": Path(resolved["data"]).name, "images": self.images and list(self.images)}

    def study(self, entry: str) -> dict[str, Any] | None:
        """Return the stored study that found the settings of an entry, None where they are the defaults."""
        return provenance(entry, self.problem) if self.tuned else None

    def source(self, entry: str) -> str:
        """Say where the settings of an entry come from: "tuned", "tuned on ..." or "package defaults".

        >>> comparison("standard").source("adam")
        'tuned on layers 784-100-50-6-50-100-784, batch_size 500'
        """
        stored = self.study(entry)
        if stored is None:
            return "package defaults"
        if lent_by := lender(entry):
            return f"settings of {LABELS[lent_by]}, {self.source(lent_by)}"
        problem, here = stored.get("final", stored)["problem"], self.in_common()
        options = {name: problem[name] for name in TUNED_ON if name in problem}
        options = {k: v for k, v in options.items() if not (is_offline(entry) and k in NOT_OFFLINE)}
        there = as_json(resolve(**ALL[entry], **options))
        named = [name for name in here if name in there and name not in FREE and here[name] != there[name]]
        return f"tuned on {', '.join(f'{name} {there[name]}' for name in named)}" if named else "tuned"

    def record(self) -> Plan:
        """Return the plan as it stands in the results folder."""
        return Plan(
            command=self.command(),
            preset=self.preset,
            seeds=list(self.seeds),
            shared=self.in_common(),
            entries={name: self._entry(name) for name in self.entries},
        )

    def _entry(self, name: str) -> Entry:
        stored, resolved = self.study(name), as_json(self.config(name, self.seeds[0]))
        own = (*OWN, *LENGTH) if name in self.fewer_epochs else OWN
        nothing: dict[str, Any] = {}
        if is_offline(name):  # what is shared and means nothing here, or something else
            common = self.in_common()
            nothing = {k: resolved.get(k) for k, v in common.items() if resolved.get(k) != v}
            nothing = {k: v for k, v in nothing.items() if k not in ("data", "images", "epochs")}
        return Entry(
            label=LABELS[name],
            tuned=stored is not None,
            source=self.source(name),
            settings={option: value for option, value in resolved.items() if option in own} | nothing,
            study=stored["study"] if stored else None,
        )

    def command(self) -> str:
        """Return the command that makes this comparison, without the paths of a machine."""
        words = ["locoprop-ref", "compare", "--preset", self.preset, "--methods", *self.entries, "--seeds"]
        words += map(str, self.seeds)
        for name, value in self.shared.items():
            if PRESETS[self.preset].get(name) != value:
                words += [f"--{name.replace('_', '-')}", Path(value).name if name == "data" else str(value)]
        return shlex.join(words if self.tuned else [*words, "--untuned"])


def is_offline(entry: str) -> bool:
    """Tell whether a step of an entry takes all examples.

    >>> is_offline("adam")
    False
    """
    return ALL[entry]["method"] in OFFLINE


def comparison(
    preset: str = "quick",
    *,
    entries: Iterable[str] | None = None,
    seeds: Iterable[int] | None = None,
    tuned: bool = True,
    **shared: Any,
) -> Comparison:
    """Return the comparison of a preset with explicit choices over it.

    Args:
        preset: one of `PRESETS`.
        entries: default those of the preset, which are all but on the networks that classify.
        seeds: default those of the preset.
        tuned: False for the package's defaults.
        **shared: options of `config.resolve`, the same for every entry; None counts as not given. An explicit
            number of epochs holds for the entries too that have fewer in the preset.

    Raises:
        ValueError, TypeError: unknown names (the nearest is suggested), a seed below 0 or twice, an option
            out of its range or one that belongs to single methods.
    """
    chosen = dict(PRESETS[checks.one_of("preset", preset, PRESETS)])
    images, default_seeds = chosen.pop("images", None), chosen.pop("seeds")
    usual, fewer = chosen.pop("methods", CONTESTANTS), chosen.pop("fewer_epochs", {})
    names = tuple(usual if entries is None else entries)
    for name in names:
        checks.one_of("methods", name, ALL)
    numbers = default_seeds if seeds is None else tuple(seeds)
    for seed in numbers:
        checks.integer("seeds", seed, minimum=0, maximum=None)
    for what, given in (("methods", names), ("seeds", numbers)):
        if not given or len(set(given)) < len(given):
            raise ValueError(f"{what} must be at least one, none twice, got {_listed(given)}")
    for option in shared:
        if option in OWN:
            raise ValueError(f"{option} belongs to single methods, the options of a comparison to all")
    explicit = {name: value for name, value in shared.items() if value is not None}
    if explicit.get("data", chosen["data"]) not in NAMES:  # a user's own, of any width, is taken whole
        chosen.pop("layers", None)
        images = None
    epochs = checks.integer("epochs", explicit.get("epochs", chosen["epochs"]))
    if "schedule_epochs" not in explicit and epochs > chosen.get("schedule_epochs", inf):
        raise ValueError(
            f"epochs must be at most the {chosen['schedule_epochs']} of preset {preset}'s schedule, "
            f"got {epochs} (schedule_epochs lengthens it)"
        )
    own = {} if "epochs" in explicit else {name: fewer[name] for name in names if name in fewer}
    plan = Comparison(preset, names, numbers, chosen | explicit, images, tuned, own)
    for name in names:
        plan.config(name, numbers[0])
    return plan


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(map(str, values)) or "none"


def describe_plan(plan: Plan) -> list[str]:
    """Return the plan in lines: what is shared, and the own settings of every entry with their source."""
    shared = {k: v for k, v in plan.shared.items() if v is not None}
    lines = [f"comparison {plan.preset}: {len(plan.entries)} methods, seeds {_listed(plan.seeds)}"]
    lines.append("  for all: " + _spelled(shared))
    for name, entry in plan.entries.items():
        own = {k: v for k, v in entry.settings.items() if k not in ("method", "diagnostics")}
        lines.append(f"  {name} ({entry.source}): {_spelled(own)}")
    return lines


def _spelled(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())
