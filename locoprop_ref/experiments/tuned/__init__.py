r"""The methods of a comparison, and their settings as `locoprop-ref tune` found them.

A method is meant here together with its optimizer, by the name that tables and figures use. Its tuned
settings are the file `PROBLEM/METHOD.json` beside this one, with where they come from (`record` has the
types):

    schema       1
    contestant   the method's name
    settings     {option of `Config`: value}
    problem      {name, data, layers, width, batch_size, epochs, ..., data sha256}: what was tuned on
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

from importlib.resources import files
from typing import Any

import msgspec

from locoprop_ref import checks
from locoprop_ref.experiments.tuned.record import read_record

CONTESTANTS: dict[str, dict[str, Any]] = {
    "sgd": {"method": "backprop", "optimizer": "sgd"},
    "momentum": {"method": "backprop", "optimizer": "momentum"},
    "nesterov": {"method": "backprop", "optimizer": "nesterov"},
    "adagrad": {"method": "backprop", "optimizer": "adagrad"},
    "rmsprop": {"method": "backprop", "optimizer": "rmsprop"},
    "adam": {"method": "backprop", "optimizer": "adam"},
    "shampoo": {"method": "shampoo"},
    "kfac": {"method": "kfac"},
    "foof": {"method": "foof"},
    "locoprop-s": {"method": "locoprop-s"},
    "locoprop-s-closed": {"method": "locoprop-s-closed"},
    "locoprop-m": {"method": "locoprop-m"},
}
LABELS = {
    "sgd": "SGD",
    "momentum": "Momentum",
    "nesterov": "Nesterov",
    "adagrad": "AdaGrad",
    "rmsprop": "RMSProp",
    "adam": "Adam",
    "shampoo": "Shampoo",
    "kfac": "K-FAC",
    "foof": "FOOF",
    "locoprop-s": "LocoProp-S, K steps",
    "locoprop-s-closed": "LocoProp-S, closed form",
    "locoprop-m": "LocoProp-M, K steps",
}
PROBLEMS = ("mnist", "curves")


def options(method: str, problem: str = "mnist") -> dict[str, Any]:
    """Return the options of a method for `config.resolve`, tuned where a study is stored.

    Args:
        method: one of `CONTESTANTS`.
        problem: one of `PROBLEMS`, the data that the settings were tuned on.

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
