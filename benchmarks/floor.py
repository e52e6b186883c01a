"""The floor: the time of the matrix products and factorizations of a step alone, with the BLAS of this run.

It includes the forward and the backward pass. Each product is written into an existing buffer; there are no
transfer functions, optimizers or sums. There are two ways to use the cores, threads inside BLAS, or parallel
layers with one BLAS thread each; the faster of them is the floor.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from benchmarks.problem import Problem, network, through_gram
from locoprop_ref.parallel import side_by_side

Product = Callable[[], object]


class _Run:
    def __init__(self, problem: Problem, method: str, parallel_layers: bool) -> None:
        rng, dtype, B = np.random.default_rng(2), problem.dtype, problem.batch
        self.passes: list[Product] = []
        self.layers: list[list[Product]] = []
        self.costs, self.parallel_layers = [], parallel_layers
        for m, layer in enumerate(network(problem).layers):
            (d_in, d_out), W = layer.W.shape, layer.W
            x, r = rng.random((B, d_in + 1), dtype=dtype), rng.random((B, d_out), dtype=dtype)
            below = np.ascontiguousarray(x[:, :-1])
            self.passes.append(partial(np.matmul, below, W, out=np.empty_like(r)))
            if m > 0:  # the gradient with respect to the images is not needed
                self.passes.append(partial(np.matmul, r, W.T, out=np.empty_like(below)))
            self.layers.append(local_products(problem, method, m, x, r))
            self.costs.append(d_in * d_out)

    def step(self) -> None:
        for product in self.passes:
            product()
        tasks = [partial(run_all, products) for products in self.layers]
        if self.parallel_layers:
            side_by_side(tasks, self.costs, like=np.empty(0))
        else:
            for task in tasks:
                task()


def run_all(products: list[Product]) -> None:
    """Compute the products, one after the other."""
    for product in products:
        product()


def local_products(problem: Problem, method: str, m: int, x: np.ndarray, r: np.ndarray) -> list[Product]:
    """Return the products of the local problem of layer m, where x is X̃ (B, d̃) and r has shape (B, d_out)."""
    (B, d), d_out = x.shape, r.shape[1]
    W, G = np.zeros((d, d_out), x.dtype), np.empty((d, d_out), x.dtype)
    gradient = partial(np.matmul, x.T, r, out=G)
    again = problem.num_local_steps - 1  # the forward pass has computed the first pre-activation
    if method.startswith("backprop"):
        return [gradient]
    if method == "locoprop-s-closed":
        return [gradient, partial(_solve, x.T, G)] if d <= B else [partial(_solve, x, r), gradient]
    if through_gram(problem, method, m):
        gram = np.empty((d, d), x.dtype)
        return [gradient, partial(np.matmul, x.T, x, out=gram)] + again * [partial(np.matmul, gram, W, out=G)]
    return [gradient] + again * [partial(np.matmul, x, W, out=r.copy()), gradient]


def _solve(X: np.ndarray, b: np.ndarray) -> None:
    """Solve (I + XXᵀ) z = b by Cholesky, without the copy that LAPACK would make to reorder the axes."""
    gram = np.matmul(X, X.T)
    np.einsum("ii->i", gram)[...] += 1
    factor = cho_factor(gram.T, lower=True, overwrite_a=True, check_finite=False)
    cho_solve(factor, np.array(b, order="F"), overwrite_b=True, check_finite=False)


def prepare(problem: Problem, method: str, *, parallel_layers: bool = False) -> _Run:
    """Return a run that computes only the products."""
    return _Run(problem, method, parallel_layers)
