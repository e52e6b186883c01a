"""Operations counted before they are spent."""

from itertools import pairwise


def prefers_gram(batch: int, d: int, d_out: int, steps: int) -> bool:
    """Tell whether K inner steps of S multiply less through the Gram matrix, by count of operations.

    Bd̃² + Bd̃d_out + (K − 1)d̃²d_out against (2K − 1)Bd̃d_out, the first pre-activation being given in both.

    >>> prefers_gram(1000, 785, 1000, 10), prefers_gram(1000, 785, 1000, 1)
    (True, False)
    """
    return batch * d + batch * d_out + (steps - 1) * d * d_out < (2 * steps - 1) * batch * d_out


def newton_cost(layer_sizes: tuple[int, ...], batch_size: int, *, bias: bool = True) -> float:
    """Return the floating-point operations of one Newton step on every layer of a network.

    Each unit forms a Hessian, 2Bm², and solves with it, ⅔m³, where m = min(B, d̃); in the dual the Hessian
    is a scaled copy of one Gram matrix, so that only the solve remains.
    """
    total = 0.0
    for d_in, d_out in pairwise(layer_sizes):
        d = d_in + bias
        primal = 2 * batch_size * d**2 + 2 / 3 * d**3
        total += d_out * (primal if batch_size >= d else 2 / 3 * batch_size**3)
    return total
