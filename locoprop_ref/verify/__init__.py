r"""The identities that must hold, as code: claim, measured error, bound, and the reason for the bound.

Every function draws small random networks with biases and measures the error of one identity in float64. The
reference values are computed on the host, from a second source wherever there is one. I1 to I12 are
measured on dense networks, then on convolutional and on recurrent ones, whose claims say so; L1 to L5 are the
identities of layers with positions. I13 and those that follow L5 are on dense networks; they say which known
algorithms are LocoProp with other parts.

Arguments of every identity: `seed`, an integer ≥ 0 for the random networks, and `xp`, an array namespace.

>>> [result.id for result in verify(seed=1) if not result.holds]
[]
"""

import unicodedata
from collections.abc import Callable
from math import inf
from typing import Any

from locoprop_ref import checks
from locoprop_ref.backend import namespace
from locoprop_ref.verify.closed import (
    closed_form_is_exact,
    linear_network_is_implicit_sgd,
    one_example_is_lms,
)
from locoprop_ref.verify.codes import code_step_gives_the_targets
from locoprop_ref.verify.derivative import backward_is_derivative, first_step_is_backprop
from locoprop_ref.verify.duality import (
    divergence_has_a_dual,
    last_layer_is_implicit_sgd,
    last_layer_is_irls,
    target_is_a_natural_gradient_step,
)
from locoprop_ref.verify.exact import label_is_target, newton_is_exact
from locoprop_ref.verify.geometry import (
    decay_is_an_anchor,
    decoupled_decay_is_an_anchor,
    exponentiated_gradient_is_a_local_problem,
    perceptron_in_eg_is_winnow,
    sign_unit_is_a_perceptron,
)
from locoprop_ref.verify.least_squares import (
    memory_is_foof,
    metric_with_memory_is_rls,
    no_regularizer_is_kaczmarz,
    one_example_is_nlms,
)
from locoprop_ref.verify.losses import matching_loss_is_integral, transfer_is_gradient
from locoprop_ref.verify.measure import Identity, Measurement
from locoprop_ref.verify.offline import codes_of_mac_are_targets, weights_of_admm_are_a_closed_form
from locoprop_ref.verify.own_transfer import check_transfer
from locoprop_ref.verify.pages import PAGES, page_list
from locoprop_ref.verify.propagation import (
    exact_inverses_are_gauss_newton,
    gauss_newton_target_is_gauss_newton,
    output_factor_is_a_choice_of_target,
)
from locoprop_ref.verify.rows import one_position_is_dense, order_does_not_matter, pull_back_is_adjoint
from locoprop_ref.verify.second_order import kfac_is_a_choice_of_target
from locoprop_ref.verify.shared_weights import mean_is_over_examples, shared_weights_are_one_problem
from locoprop_ref.verify.slopes import (
    closed_form_is_proxprop,
    linear_loss_is_sgd,
    matching_loss_is_second_order,
    newton_step_is_natural_gradient,
)
from locoprop_ref.verify.steps import inner_steps_are_a_preconditioner
from locoprop_ref.verify.waves import first_wave_is_a_geometric_schedule, lifted_step_gives_the_targets_of_m

__all__ = [
    "IDENTITIES", "PAGES", "Identity", "Measurement", "as_json", "check_transfer", "page_list", "table",
    "verify",
    "backward_is_derivative", "first_step_is_backprop", "inner_steps_are_a_preconditioner",
]  # fmt: skip

IDENTITIES: tuple[Callable[..., Identity], ...] = (
    first_step_is_backprop,
    backward_is_derivative,
    closed_form_is_exact,
    inner_steps_are_a_preconditioner,
    matching_loss_is_integral,
    transfer_is_gradient,
    newton_is_exact,
    label_is_target,
    kfac_is_a_choice_of_target,
    one_example_is_lms,
    code_step_gives_the_targets,
    linear_network_is_implicit_sgd,
    matching_loss_is_second_order,
    pull_back_is_adjoint,
    one_position_is_dense,
    shared_weights_are_one_problem,
    order_does_not_matter,
    mean_is_over_examples,
    linear_loss_is_sgd,
    closed_form_is_proxprop,
    newton_step_is_natural_gradient,
    last_layer_is_implicit_sgd,
    last_layer_is_irls,
    memory_is_foof,
    one_example_is_nlms,
    no_regularizer_is_kaczmarz,
    metric_with_memory_is_rls,
    decay_is_an_anchor,
    decoupled_decay_is_an_anchor,
    exponentiated_gradient_is_a_local_problem,
    sign_unit_is_a_perceptron,
    perceptron_in_eg_is_winnow,
    output_factor_is_a_choice_of_target,
    gauss_newton_target_is_gauss_newton,
    exact_inverses_are_gauss_newton,
    first_wave_is_a_geometric_schedule,
    lifted_step_gives_the_targets_of_m,
    target_is_a_natural_gradient_step,
    divergence_has_a_dual,
    weights_of_admm_are_a_closed_form,
    codes_of_mac_are_targets,
)


def verify(seed: int = 0, xp: Any = None) -> list[Identity]:
    """Measure every identity, in float64.

    Args:
        seed: seed of the random networks, an integer ≥ 0.
        xp: array namespace that the package computes with; default NumPy's.

    Raises:
        ValueError, TypeError: seed is not an integer of at least 0, or xp no array namespace.
    """
    checks.integer("seed", seed, minimum=0, maximum=None)
    xp = namespace("numpy") if xp is None else checks.array_library("xp", xp)
    return [identity(seed, xp) for identity in IDENTITIES]


def table(results: list[Identity]) -> str:
    """Return the results as a table for the terminal, with one line for each measurement."""
    lines = [f"{'':5}{'measured':>9}  {'bound':>8}  {'claim':50}  where the bound comes from"]
    for result in results:
        lines.append(f"{result.id:5}{'':9}  {'':8}  {result.claim}")
        for part in result.parts:
            mark = "ok" if part.holds else "FAILS"
            lines.append(
                f"{mark:5}{part.error:9.1e}  {part.bound:8.1e}    {_padded(part.claim, 50)}{part.reason}"
            )
    return "\n".join(lines)


def _padded(text: str, width: int) -> str:
    """Return the text padded with spaces to a width; the tilde on W̃ occupies no column."""
    return text + " " * (width - sum(not unicodedata.combining(letter) for letter in text))


def as_json(results: list[Identity], *, seed: int, backend: str) -> dict[str, Any]:
    """Return the results as a JSON object; a nan or infinite error becomes null, and does not hold.

    `page` is the page of the book that derives the identity, see `pages`.
    """

    def finite(value: float) -> float | None:
        return value if abs(value) < inf else None

    def row(part: Measurement) -> dict[str, Any]:
        measured = {"error": finite(part.error), "bound": part.bound, "holds": part.holds}
        return {"claim": part.claim, **measured, "reason": part.reason}

    rows = [
        {
            "id": r.id,
            "claim": r.claim,
            "page": PAGES.get(r.id),
            "holds": r.holds,
            "parts": [row(part) for part in r.parts],
        }
        for r in results
    ]
    return {"schema": 1, "seed": seed, "backend": backend, "dtype": "float64", "identities": rows}
