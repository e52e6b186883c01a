r"""The wide search space: K, the local optimizer, its state and η of LocoProp by K steps are searched too.

The narrow space keeps the authors' K = 10, their RMSProp and η = ∞, and serves comparisons with their
settings. The wide one asks how good LocoProp can be. Its ranges have conditions: the size s of the local
steps has a range of its own for every local optimizer, and a decay is searched where the optimizer has one.

>>> from locoprop_ref.experiments.tune.space import search_space
>>> [r.name for r in search_space("locoprop-m", space="wide")][:3]
['optimizer', 'local_lr@rmsprop', 'local_lr@nesterov']
"""

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
