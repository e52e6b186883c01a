r"""The gradient of the squared local problem in a second form: the same, in fewer products."""

from collections.abc import Callable
from math import inf
from typing import Any

from locoprop_ref import check
from locoprop_ref.cost import prefers_gram
from locoprop_ref.local import LocalProblem

GRADIENT_FORMS = ("auto", "plain", "gram")


def gram_gradient(problem: LocalProblem) -> Callable[[Any], Any]:
    r"""Return the gradient of the squared local problem as a function of W̃, through the Gram matrix.

    In ΔW = W̃ − W̃₀ it is linear: X̃ᵀX̃ ΔW + X̃ᵀ(X̃W̃₀ − y*) + ΔW/η. X̃ᵀX̃ and the first inner gradient, which
    is γ ∂L/∂W̃, are computed once; a step then costs d̃²d_out products instead of 2Bd̃d_out.
    """
    x, W0 = problem.x, problem.W0
    first, gram = problem.gradient(W0), x.T @ x
    if problem.scale != 1:
        gram *= problem.scale

    def gradient(W: Any) -> Any:
        if W is W0:
            return first
        change = W - W0
        result = gram @ change
        result += first
        if problem.weight_step != inf:
            result += change / problem.weight_step
        return result

    return gradient


def gradient_in_form(problem: LocalProblem, steps: int, form: str) -> Callable[[Any], Any]:
    """Return a local problem's gradient as a function of W̃, for K = `steps` of them.

    Args:
        problem: the local problem.
        steps: K.
        form: "plain", as `LocalProblem.gradient` has it; "gram" (S only); "auto": for S the cheaper by count.

    Raises:
        ValueError: an unknown form, or "gram" where the local transfer is not the identity.
    """
    check.one_of("gradient_form", form, GRADIENT_FORMS)
    squared = problem.transfer.name == "identity"
    if form == "gram" and not squared:
        raise ValueError(f"gradient_form must be plain for transfer {problem.transfer.name!r}, got 'gram'")
    (batch, d), d_out = problem.x.shape, problem.W0.shape[1]
    if form == "gram" or (form == "auto" and squared and prefers_gram(batch, d, d_out, steps)):
        return gram_gradient(problem)
    return problem.gradient
