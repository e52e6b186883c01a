r"""The methods of a comparison, and their settings as `locoprop-ref tune` found them.

A method is meant here together with its optimizer, by the name that tables and figures use. Its tuned
settings are the file `PROBLEM/METHOD.json` beside this one, with where they come from (`record` has the
types):

    schema       1
    contestant   the method's name
    settings     {option of `Config`: value}
    problem      {name, data, layers, width, batch_size, epochs, ..., data sha256}: what was tuned on; with
                 task and schedule where they are not "autoencode" and "authors"
    study        {trials, complete, pruned, failed, diverged, sampler, pruner, seed, loss, untuned_loss,
                 ranges, edges, versions, command}
    final        {problem, candidates [{settings, loss}], chosen, loss}: the choice on the whole network,
                 where the problem was a reduced one

`loss` is the network loss on held-out training images; the test set is never used. `untuned_loss` is the loss
of the first trial: at the package's defaults, with the few exceptions of `tune.space.untuned`. `edges` names
values that ended on an edge of their range; such a study needs a wider range (`locoprop-ref tune --range`).

The settings of the fewest seconds to a target loss (`locoprop-ref tune --fast`) stand in `PROBLEM-fast`, in
the same form. Their entries have names that end in "-fast"; settings hold the number of epochs and the length
of the schedule too, and a further part says what the search had and found:

    frontier     {target, budget, penalty, reached, chosen_by, front [{settings, loss, seconds}],
                 final_target, final_budget, final_by_loss}: the target loss and the seconds of a trial, how
                 many trials came to it, and the trials that no other one beats in both

`CONTESTANTS` are the twelve that every comparison has unless it names others. The relatives of LocoProp stand
apart, because they are compared on the networks of their own announcement alone.

>>> list(CONTESTANTS)[-3:]
['locoprop-s', 'locoprop-s-closed', 'locoprop-m']
>>> list(RELATIVES)[:3]
['adam-as-am', 'am-sgd', 'am-adam']
"""

from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal

import msgspec

from locoprop_ref import checks
from locoprop_ref.experiments.tuned.record import read_record

Family = Literal["first-order", "second-order", "LocoProp", "relative", "fast"]


@dataclass(frozen=True)
class Entry:
    """A method together with its optimizer: its label in tables, its family, its options for `resolve`."""

    label: str
    family: Family
    options: dict[str, Any]


ENTRIES: dict[str, Entry] = {
    "sgd": Entry("SGD", "first-order", {"method": "backprop", "optimizer": "sgd"}),
    "momentum": Entry("Momentum", "first-order", {"method": "backprop", "optimizer": "momentum"}),
    "nesterov": Entry("Nesterov", "first-order", {"method": "backprop", "optimizer": "nesterov"}),
    "adagrad": Entry("AdaGrad", "first-order", {"method": "backprop", "optimizer": "adagrad"}),
    "rmsprop": Entry("RMSProp", "first-order", {"method": "backprop", "optimizer": "rmsprop"}),
    "adam": Entry("Adam", "first-order", {"method": "backprop", "optimizer": "adam"}),
    "shampoo": Entry("Shampoo", "second-order", {"method": "shampoo"}),
    "kfac": Entry("K-FAC", "second-order", {"method": "kfac"}),
    "foof": Entry("FOOF", "second-order", {"method": "foof"}),
    "locoprop-s": Entry("LocoProp-S, K steps", "LocoProp", {"method": "locoprop-s"}),
    "locoprop-s-closed": Entry("LocoProp-S, closed form", "LocoProp", {"method": "locoprop-s-closed"}),
    "locoprop-m": Entry("LocoProp-M, K steps", "LocoProp", {"method": "locoprop-m"}),
    # Adam in the settings of AM-Adam: what of AM-Adam's lead is left is not the rate's, nor the ε's
    "adam-as-am": Entry("Adam, AM-Adam's settings", "relative", {"method": "backprop", "optimizer": "adam"}),
    "am-sgd": Entry("AM-SGD", "relative", {"method": "am", "optimizer": "sgd"}),
    "am-adam": Entry("AM-Adam", "relative", {"method": "am", "optimizer": "adam"}),
    "am-mem": Entry("AM-mem", "relative", {"method": "am-mem"}),
    "dtp": Entry("DTP", "relative", {"method": "dtp", "optimizer": "adam"}),
    # offline: a step takes all examples
    "offline-admm": Entry("ADMM", "relative", {"method": "admm"}),
    "offline-bcd": Entry("BCD (ADMM without λ)", "relative", {"method": "admm", "multiplier_step": 0.0}),
    "offline-mac": Entry("MAC", "relative", {"method": "mac"}),
    # networks with sign units; the control shows how much the layers above a random one learn by themselves
    "ste": Entry("Straight-through", "relative", {"method": "ste", "optimizer": "adam"}),
    "ste-frozen": Entry(
        "First layer frozen (control)",
        "relative",
        {"method": "ste", "optimizer": "adam", "frozen_layers": 1},
    ),
}
# the end of a name that stands for the settings of the fewest seconds: an entry's, or a folder of studies'
FAST = "-fast"
# what is searched for them
FASTEST = ("rmsprop", "adam", "kfac", "foof", "locoprop-s", "locoprop-s-closed", "locoprop-m")
ENTRIES |= {
    f"{name}{FAST}": Entry(f"{ENTRIES[name].label}, fast", "fast", ENTRIES[name].options) for name in FASTEST
}
RELATIVES = {name: entry.options for name, entry in ENTRIES.items() if entry.family == "relative"}
CONTESTANTS = {
    name: entry.options for name, entry in ENTRIES.items() if entry.family not in ("relative", "fast")
}
# every entry, whatever it is compared with
ALL = {name: entry.options for name, entry in ENTRIES.items()}
LABELS = {name: entry.label for name, entry in ENTRIES.items()}
PROBLEMS = ("mnist", "curves", "lenet", "sequential-mnist", "poster", "poster-signs")

# entry → whose tuned settings it has, and under which names: it is not tuned itself
_BORROWED: dict[str, tuple[str, dict[str, str]]] = {
    "adam-as-am": (
        "am-adam",
        {"local_lr": "learning_rate", "momentum": "momentum", "decay": "decay", "epsilon": "epsilon"},
    )
}
# what `tune` searches on a problem unless it is told; else the twelve
_TUNED_ON: dict[str, tuple[str, ...]] = {
    "poster": (
        "sgd", "adam", "locoprop-s", "locoprop-s-closed", "locoprop-m", "am-sgd", "am-adam", "am-mem", "dtp",
        "offline-admm", "offline-bcd", "offline-mac",
    ),
    "poster-signs": ("am-adam", "dtp", "ste", "ste-frozen"),
}  # fmt: skip


def lender(method: str) -> str | None:
    """Return whose tuned settings an entry has, None where it has its own.

    >>> lender("adam-as-am")
    'am-adam'
    """
    return _BORROWED[method][0] if method in _BORROWED else None


def is_fast(method: str) -> bool:
    """Tell whether an entry stands for the settings of the fewest seconds.

    >>> is_fast("kfac"), is_fast("kfac-fast")
    (False, True)
    """
    return ENTRIES[checks.one_of("method", method, ALL)].family == "fast"


def base_of(method: str) -> str:
    """Return the entry whose method and optimizer an entry has: its own name, without the end "-fast".

    >>> base_of("kfac"), base_of("kfac-fast")
    ('kfac', 'kfac')
    """
    return method.removesuffix(FAST) if is_fast(method) else method


def usual_entries(problem: str) -> tuple[str, ...]:
    """Return what `tune` searches on a problem unless it is told.

    >>> usual_entries("poster-signs")
    ('am-adam', 'dtp', 'ste', 'ste-frozen')
    """
    return _TUNED_ON.get(problem, tuple(CONTESTANTS))


def members(family: Family) -> tuple[str, ...]:
    """Return the names of a family, in their order.

    >>> members("second-order")
    ('shampoo', 'kfac', 'foof')
    """
    return tuple(name for name, entry in ENTRIES.items() if entry.family == family)


def options(method: str, problem: str = "mnist") -> dict[str, Any]:
    """Return the options of a method for `config.resolve`, tuned where a study is stored.

    Args:
        method: one of `ALL`.
        problem: one of `PROBLEMS`, what the settings were tuned on.

    Raises:
        ValueError: an unknown name (the nearest is suggested), or a stored study of another form.

    >>> options("adam")["optimizer"]
    'adam'
    """
    stored = provenance(method, problem)
    return ALL[method] | (stored["settings"] if stored else {})


def provenance(method: str, problem: str = "mnist") -> dict[str, Any] | None:
    """Return a stored study as JSON values, or None where this method has not been tuned on this problem.

    Of an entry with another's settings (`lender`) it is the other's study, with the settings under its names.

    Args:
        method: one of `ALL`.
        problem: one of `PROBLEMS`.

    Raises:
        ValueError: an unknown name (the nearest is suggested), or a stored study of another form.
    """
    checks.one_of("method", method, ALL)
    checks.one_of("problem", problem, PROBLEMS)
    source, names = _BORROWED.get(method, (base_of(method), {}))
    folder = problem + FAST * is_fast(method)
    file = files("locoprop_ref.experiments.tuned") / folder / f"{source}.json"
    if not file.is_file():
        return None
    record = msgspec.to_builtins(read_record(file))
    if names:
        record["settings"] = {names[key]: value for key, value in record["settings"].items() if key in names}
    return record
