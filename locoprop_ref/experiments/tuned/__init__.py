r"""The contestants of a comparison, and their settings as `locoprop-ref tune` found them.

A contestant is a method with its optimizer, by the name it has in tables and figures. Its tuned settings
stand in `PROBLEM/CONTESTANT.json` beside this file, with where they come from:

    schema       1
    contestant   name
    settings     {option of `config.Config`: value}
    problem      {name, data, layers, width, batch_size, epochs, ..., data sha256}: what was tuned on
    study        {trials, complete, pruned, failed, diverged, sampler, pruner, seed, loss, untuned_loss,
                 ranges, edges, versions, command}
    final        {problem, candidates [{settings, loss}], chosen, loss}: the choice on the whole network,
                 where the problem was a reduced one

`loss` is the network loss on held-out training images; the test set is never looked at. `untuned_loss` is
that of the first trial: at the package's defaults, with the few exceptions of `tune.space.untuned`. `edges`
names values that ended on the edge of their range: such a study wants a wider one (`locoprop-ref tune
--range`).

>>> list(CONTESTANTS)[-3:]
['locoprop-s', 'locoprop-s-closed', 'locoprop-m']
"""

import json
from importlib.resources import files
from typing import Any

from locoprop_ref import checks

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


def options(contestant: str, problem: str = "mnist") -> dict[str, Any]:
    """Return the options of a contestant for `config.resolve`, tuned where a study is stored.

    Args:
        contestant: one of `CONTESTANTS`.
        problem: one of `PROBLEMS`, the data that the settings were tuned on.

    Raises:
        ValueError: an unknown name (the nearest is suggested).

    >>> options("adam")["optimizer"]
    'adam'
    """
    stored = provenance(contestant, problem)
    return CONTESTANTS[contestant] | (stored["settings"] if stored else {})


def provenance(contestant: str, problem: str = "mnist") -> dict[str, Any] | None:
    """Return a stored study, or None where this contestant has not been tuned on this problem.

    Args:
        contestant: one of `CONTESTANTS`.
        problem: one of `PROBLEMS`.

    Raises:
        ValueError: an unknown name (the nearest is suggested).
    """
    checks.one_of("contestant", contestant, CONTESTANTS)
    checks.one_of("problem", problem, PROBLEMS)
    file = files("locoprop_ref.experiments.tuned") / problem / f"{contestant}.json"
    return json.loads(file.read_bytes()) if file.is_file() else None
