"""What happened to every layer in a step: optional, a few products more."""

from typing import Any

from locoprop_ref.backend import array_namespace
from locoprop_ref.local import LocalProblem


def diagnosis(problems: list[LocalProblem], solved: list[Any]) -> dict[str, Any]:
    """Return, per layer: share of targets out of range, local loss before and after, cosine to −∂L/∂W̃."""
    rows = []
    for problem, (W, _) in zip(problems, solved, strict=True):
        xp, W0 = array_namespace(W), problem.W0
        outside = xp.astype(problem.transfer.out_of_range(problem.y_target), W.dtype)
        # the gradient at W̃₀ is γ·∂L/∂W̃ (identity I1)
        change, gradient = W - W0, problem.gradient(W0)
        lengths = xp.linalg.vector_norm(change) * xp.linalg.vector_norm(gradient)
        cosine = -float(xp.sum(change * gradient)) / float(lengths) if float(lengths) > 0 else None
        rows.append(
            {
                "out_of_range": float(xp.mean(outside)),
                "local_loss_before": float(problem.value(W0)),
                "local_loss_after": float(problem.value(W)),
                "cosine_to_gradient": cosine,
            }
        )
    return {"layers": rows}
