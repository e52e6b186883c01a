r"""I11: a gradient step on the codes of alternating minimization gives the targets of LocoProp-S."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from locoprop_ref.backend import to_numpy
from locoprop_ref.targets import code_update, target
from locoprop_ref.transfers import TRANSFERS
from locoprop_ref.verify.cases import Case, positions_cases, random_case
from locoprop_ref.verify.measure import Identity, Measurement, far, on, worst

OUTPUTS = {
    "squared_error": "identity", "sigmoid_cross_entropy": "sigmoid", "softmax_cross_entropy": "softmax"
}  # fmt: skip


def code_step_gives_the_targets(seed: int = 0, xp: Any = np) -> Identity:
    """I11: one gradient step of size s on every code, top down, gives c_m = â_m − s^{M−m} g_m, m = 1..M−1.

    A recurrent layer has paths of different length to the loss, so that no γ_m belongs to it.
    """
    pairs = [(name, pair) for name in TRANSFERS for pair in OUTPUTS.items()]
    dense = (
        random_case(name, output, loss, seed=seed, xp=xp, sizes=(4, 5, 4, 3, 3))
        for name, (loss, output) in pairs
    )
    parts = (
        *_codes(dense),
        *_codes(positions_cases("convolution", seed, xp), "convolution"),
        _refused(next(positions_cases("recurrent", seed, xp))),
    )
    return Identity("I11", "one gradient step on the codes, from the top down, gives the targets of S", parts)


def _codes(cases: Iterable[Case], where: str = "") -> tuple[Measurement, ...]:
    errors = []
    for case in cases:
        M = len(case.network.layers)
        for s in (0.3, 2.0):
            codes = code_update(case.network, case.trace, case.t, s)
            hidden = zip(codes, case.trace.a_hat[:-1], case.g[:-1], strict=True)
            for m, (code, a_hat, g) in enumerate(hidden, start=1):
                wanted = to_numpy(target(a_hat, g, s ** (M - m)))
                errors.append(far(code, wanted, np.max(np.abs(wanted))))
    reason = "rounding of â − c, times s|W||f′| per layer"
    claim = on(where, "c_m = â_m − γ_m g_m, γ_m = s^{M−m}")
    return (Measurement(claim, worst(errors), 1e-12, reason),)


def _refused(case: Case) -> Measurement:
    """Return 0 if the codes of a recurrent network are refused."""
    try:
        code_update(case.network, case.trace, case.t, 0.3)
    except ValueError:
        error = 0.0
    else:
        error = 1.0
    reason = "counted: paths through time differ in length"
    return Measurement("recurrent, no meaning: codes are refused", error, 0.0, reason)
