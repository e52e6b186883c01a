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

>>> list(CONTESTANTS)[-3:]
['locoprop-s', 'locoprop-s-closed', 'locoprop-m']
"""

from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal

import msgspec

from locoprop_ref import checks
from locoprop_ref.experiments.tuned.record import read_record

Family = Literal["first-order", "second-order", "LocoProp"]


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
}
CONTESTANTS = {name: entry.options for name, entry in ENTRIES.items()}
LABELS = {name: entry.label for name, entry in ENTRIES.items()}
PROBLEMS = ("mnist", "curves", "lenet", "sequential-mnist")


def members(family: Family) -> tuple[str, ...]:
    """Return the names of a family, in their order.

    >>> members("second-order")
    ('shampoo', 'kfac', 'foof')
    """
    return tuple(name for name, entry in ENTRIES.items() if entry.family == family)


def options(method: str, problem: str = "mnist") -> dict[str, Any]:
    """Return the options of a method for `config.resolve`, tuned where a study is stored.

    Args:
        method: one of `CONTESTANTS`.
        problem: one of `PROBLEMS`, what the settings were tuned on.

    Raises:
        ValueError: an unknown name (the nearest is suggested), or a stored study of another form.

    >>> options("adam")["optimizer"]
    'adam'
    """
    stored = provenance(method, problem)
    return CONTESTANTS[method] | (stored["settings"] if stored else {})


def provenance(method: str, problem: str = "mnist") -> dict[str, Any] | None:
    """Return a stored study as JSON values, or None where this method has not been tuned on this problem.

    Args:
        method: one of `CONTESTANTS`.
        problem: one of `PROBLEMS`.

    Raises:
        ValueError: an unknown name (the nearest is suggested), or a stored study of another form.
    """
    checks.one_of("method", method, CONTESTANTS)
    checks.one_of("problem", problem, PROBLEMS)
    file = files("locoprop_ref.experiments.tuned") / problem / f"{method}.json"
    return msgspec.to_builtins(read_record(file)) if file.is_file() else None
