r"""The wide search space: K, the local optimizer, its state and η of LocoProp by K steps are searched too.

The narrow space keeps the authors' K = 10, their RMSProp and η = ∞, and serves comparisons with their
settings. The wide one asks how good LocoProp can be. Its ranges have conditions: the size s of the local
steps has a range of its own for every local optimizer, and a decay is searched where the optimizer has one.

>>> from locoprop_ref.experiments.tune.space import search_space
>>> [r.name for r in search_space("locoprop-m", space="wide")][:3]
['optimizer', 'local_lr@rmsprop', 'local_lr@nesterov']
"""

from collections.abc import Mapping
from typing import Any

from locoprop_ref.experiments.tune.ranges import Range, among, one_minus

SPACES = ("narrow", "wide")
_OPTIMIZER = "optimizer"


def _with(*optimizers: str) -> tuple[str, tuple[str, ...]]:
    return (_OPTIMIZER, optimizers)


# RMSProp's mean square begins at one in the authors' dialect, so that its steps are the gradient's for a
# while; Adam's first steps have the length s. Beyond η's high end the proximal term does nothing
_BY_STEPS_WIDE = (
    among(_OPTIMIZER, "rmsprop", "nesterov", "adam"),
    Range("local_lr", 1e-7, 1e-2, when=_with("rmsprop")),
    Range("local_lr", 1e-7, 1e-2, when=_with("nesterov")),
    Range("local_lr", 1e-6, 1e-2, when=_with("adam")),
    Range("num_local_steps", 1, 20, integer=True, no_edge="low"),
    among("local_state", "keep", "reset"),
    Range("target_step", 0.3, 1e4),
    Range("weight_step", 1e-4, 1e4, no_edge="high"),
    one_minus("momentum", 1e-4, 1.0),
    one_minus("decay", 1e-3, 1.0, when=_with("rmsprop", "adam")),
)
WIDE: dict[str, tuple[Range, ...]] = {"locoprop-s": _BY_STEPS_WIDE, "locoprop-m": _BY_STEPS_WIDE}


def widened(method: str, narrow: tuple[Range, ...]) -> tuple[Range, ...]:
    """Return the wide space of a method; where it has none, the narrow one, which holds all that is tuned.

    Args:
        method: one of `tuned.ALL`.
        narrow: its ranges in the narrow space.
    """
    return WIDE.get(method, narrow)


def few_steps(known: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return settings with two local steps of twice their size; None where the number is not searched.

    A search for fewer seconds tries them after the tuned ones: on the whole network LocoProp-M was quick so
    before anybody had searched.

    Args:
        known: values of the ranges, by name, as those of the tuned settings.

    >>> few_steps({"local_lr@rmsprop": 4e-05, "num_local_steps": 10, "target_step": 10.0})
    {'local_lr@rmsprop': 8e-05, 'num_local_steps': 2, 'target_step': 10.0}
    """
    if "num_local_steps" not in known:
        return None
    sizes = {name: 2 * value for name, value in known.items() if name.startswith("local_lr@")}
    return dict(known) | sizes | {"num_local_steps": 2}
