"""Every method by its name.

    backprop                  gradient descent with a first-order optimizer
    locoprop-s, locoprop-m    LocoProp by K local steps, squared and matching loss (the authors')
    locoprop-s-closed         LocoProp-S in closed form
    locoprop-m-exact          LocoProp-M by damped Newton
    kfac, foof, shampoo       the second-order methods that LocoProp is compared with
    am, am-mem                alternating minimization: by steps of an optimizer, and by running sums
    tp, dtp                   target propagation, plain and difference
    fa, dfa                   feedback alignment, and direct feedback alignment
    ste                       BackProp of networks with sign units
    mac, admm                 alternating minimization and ADMM, on all examples at once

All have the interface of `base.Method`.
"""

import inspect
from collections.abc import Callable
from typing import Any

from locoprop_ref import checks
from locoprop_ref.methods.admm import ADMM
from locoprop_ref.methods.backprop import backprop
from locoprop_ref.methods.base import Method
from locoprop_ref.methods.foof import FOOF
from locoprop_ref.methods.kfac import KFAC
from locoprop_ref.methods.locoprop import locoprop_m, locoprop_m_exact, locoprop_s, locoprop_s_closed
from locoprop_ref.methods.mac import MAC
from locoprop_ref.methods.relatives import am, am_mem, dfa, dtp, fa, ste, tp
from locoprop_ref.methods.shampoo import Shampoo

SECOND_ORDER: dict[str, type[KFAC | FOOF | Shampoo]] = {"kfac": KFAC, "foof": FOOF, "shampoo": Shampoo}
_BUILDERS: dict[str, Callable[..., Method]] = {
    "backprop": backprop,
    "locoprop-s": locoprop_s,
    "locoprop-m": locoprop_m,
    "locoprop-s-closed": locoprop_s_closed,
    "locoprop-m-exact": locoprop_m_exact,
    **SECOND_ORDER,
    "am": am,
    "am-mem": am_mem,
    "tp": tp,
    "dtp": dtp,
    "fa": fa,
    "dfa": dfa,
    "ste": ste,
    "mac": MAC,
    "admm": ADMM,
}
METHODS = tuple(_BUILDERS)
# whose step takes all examples at once, in the same order every time
OFFLINE = tuple(name for name, build in _BUILDERS.items() if getattr(build, "sees_all_examples", False))


def method(name: str, **settings: Any) -> Method:
    """Return the method of that name with its settings.

    Args:
        name: one of `METHODS`.
        **settings: arguments of the function or class of that name, such as `locoprop_s`.

    Raises:
        ValueError, TypeError: unknown name (the nearest is suggested), or a setting that does not fit.

    >>> method("locoprop-s-closed").target_step
    100.0
    """
    return _BUILDERS[checks.one_of("method", name, METHODS)](**settings)


def named_optimizer(name: str) -> bool:
    """Tell whether the function of a method takes its optimizer by name, because other defaults hang on it.

    >>> named_optimizer("backprop"), named_optimizer("locoprop-m")
    (True, False)
    """
    builder = _BUILDERS[checks.one_of("method", name, METHODS)]
    return "optimizer_name" in inspect.signature(builder).parameters
