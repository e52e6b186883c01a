"""What happened to every layer in a step: optional, a few products more."""

from typing import Any

from locoprop_ref.backend import array_namespace
from locoprop_ref.local import LocalProblem


def diagnostics(problem: LocalProblem, W: Any) -> dict[str, Any]:
    """Return what a solution did to a local problem.

    Args:
        problem: the local problem.
        W: the solver's W̃, (d̃, d_out).

    Returns:
        "out_of_range", the share of targets outside the range of the local transfer function;
        "local_loss_before" and "local_loss_after", the objective at W̃₀ and at W̃; "cosine_to_gradient", that
        of the angle between the change and −∂L/∂W̃, None where one of them vanishes.
    """
    xp, W0 = array_namespace(W), problem.W0
    outside = xp.astype(problem.transfer.out_of_range(problem.y_target), W.dtype)
    # the gradient at W̃₀ is γ·∂L/∂W̃ (identity I1)
    change, gradient = W - W0, problem.gradient(W0)
    lengths = float(xp.linalg.vector_norm(change) * xp.linalg.vector_norm(gradient))
    return {
        "out_of_range": float(xp.mean(outside)),
        "local_loss_before": float(problem.value(W0)),
        "local_loss_after": float(problem.value(W)),
        "cosine_to_gradient": -float(xp.sum(change * gradient)) / lengths if lengths > 0 else None,
    }
