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
from locoprop_ref.experiments.compare.presets import PRESETS
from locoprop_ref.experiments.compare.records import Entry, Plan
from locoprop_ref.experiments.tuned import (
    ALL,
    CONTESTANTS,
    LABELS,
    PROBLEMS,
    base_of,
    is_fast,
    lender,
    options,
    provenance,
)
from locoprop_ref.methods.registry import OFFLINE
from locoprop_ref.training.config import APPLIES, resolve
from locoprop_ref.training.options import Config, as_json

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
        return _problem(self.preset, self.shared["data"])

    def options(self, entry: str, seed: int, data: str | None = None) -> dict[str, Any]:
        """Return the options of one run for `config.resolve`; `data` says where the images really are."""
        own = options(entry, self.problem) if self.tuned else ALL[entry]
        left_out = NOT_OFFLINE if is_offline(entry) else ()
        shared = {name: value for name, value in self.shared.items() if name not in left_out}
        shared |= {} if data is None else {"data": data}
        epochs: dict[str, Any] = {"epochs": self.fewer_epochs[entry]} if entry in self.fewer_epochs else {}
        if is_fast(entry):  # a schedule belongs to its number of epochs
            epochs = {**epochs, "schedule_epochs": own.get("schedule_epochs")}
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
        how = "tuned for seconds" if is_fast(entry) else "tuned"
        if lent_by := lender(entry):
            return f"settings of {LABELS[lent_by]}, {self.source(lent_by)}"
        problem, here = stored.get("final", stored)["problem"], self.in_common()
        options = {name: problem[name] for name in TUNED_ON if name in problem}
        options = {k: v for k, v in options.items() if not (is_offline(entry) and k in NOT_OFFLINE)}
        there = as_json(resolve(**ALL[entry], **options))
        named = [name for name in here if name in there and name not in FREE and here[name] != there[name]]
        return f"{how} on {', '.join(f'{name} {there[name]}' for name in named)}" if named else how

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
            number of epochs holds for the entries too that have fewer in the preset, but not for settings of
            the fewest seconds, whose number of epochs is one of them.

    Raises:
        ValueError, TypeError: unknown names (the nearest is suggested), a seed below 0 or twice, an option
            out of its range or one that belongs to single methods.
    """
    chosen = dict(PRESETS[checks.one_of("preset", preset, PRESETS)])
    images, default_seeds = chosen.pop("images", None), chosen.pop("seeds")
    usual, fewer = chosen.pop("methods", CONTESTANTS), chosen.pop("fewer_epochs", {})
    problem = _problem(preset, shared.get("data") or chosen["data"])
    names = tuple(
        entries if entries is not None else [n for n in usual if not is_fast(n) or provenance(n, problem)]
    )
    for name in names:
        checks.one_of("methods", name, ALL)
    lengths = {name: _fast_epochs(name, problem, tuned) for name in names if is_fast(name)}
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
    own |= lengths
    plan = Comparison(preset, names, numbers, chosen | explicit, images, tuned, own)
    for name in names:
        plan.config(name, numbers[0])
    return plan


def _problem(preset: str, data: Any) -> str:
    """Return whose tuned settings serve, see `Comparison.problem`."""
    if preset in PROBLEMS:
        return preset
    return "curves" if data == "curves" else "mnist"


def _fast_epochs(name: str, problem: str, tuned: bool) -> int:
    """Return the number of epochs of an entry with the settings of the fewest seconds.

    Raises:
        ValueError: nothing is stored for it, or the defaults are asked for.
    """
    if not tuned:
        raise ValueError(f"methods must have defaults where the tuned settings are left out, got {name}")
    stored = provenance(name, problem)
    if stored is None:
        raise ValueError(
            f"methods must have stored settings for {problem}, got {name}, which has none "
            f"(locoprop-ref tune {base_of(name)} --fast searches them)"
        )
    return int(stored["settings"]["epochs"])


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
