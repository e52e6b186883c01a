"""The floor of `benchmarks.layers`: the products and factorizations of a step, and nothing else.

As in `floor`, each product is written into an existing buffer. All operands have the memory order in which
the step has them: rows with positions are columns of memory. BackProp takes its products from blocks of
examples, as the step does; LocoProp its forward and backward pass from the whole batch.
"""

from functools import partial
from itertools import pairwise

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from benchmarks.floor import Product, local_products, run_all
from benchmarks.wired import WiredProblem, network
from locoprop_ref.backend import one_blas_thread
from locoprop_ref.layers import Layer
from locoprop_ref.microbatches import microbatches_that_pay
from locoprop_ref.parallel import side_by_side


class _Run:
    def __init__(self, problem: WiredProblem, method: str, parallel: bool) -> None:
        net, B, self.parallel = network(problem), problem.batch, parallel
        self.first: list[Product] = []
        self.tasks: list[list[Product]] = []
        if method == "backprop-adam":
            blocks = microbatches_that_pay(net, B)
            for first, last in pairwise(B * i // blocks for i in range(blocks + 1)):
                products = [p for m, layer in enumerate(net.layers) for p in _passes(layer, m, last - first)]
                products += [_gradient(layer, last - first) for layer in net.layers]
                self.tasks.append(products)
        else:
            self.first = [p for m, layer in enumerate(net.layers) for p in _passes(layer, m, B)]
            for m, layer in enumerate(net.layers):
                self.tasks.append(_local_products(problem, method, m, layer))
        weights = [layer.positions * layer.W.shape[0] * layer.W.shape[1] for layer in net.layers]
        # a block of examples goes through all layers, and all blocks are alike
        each = [sum(weights) / len(self.tasks)] * len(self.tasks) if not self.first else weights
        self.costs = [B * weight for weight in each]

    def step(self) -> None:
        run_all(self.first)
        tasks = [partial(run_all, products) for products in self.tasks]
        if self.parallel:
            side_by_side(tasks, self.costs, like=np.empty(0))
        else:
            for task in tasks:
                task()


def _rows(layer: Layer, numbers: int, examples: int) -> np.ndarray:
    """Return random rows, (R, numbers), in the memory order of the step."""
    rng, dtype = np.random.default_rng(2), layer.W.dtype
    if layer.positions == 1:
        return rng.random((examples, numbers), dtype=dtype)
    return rng.random((numbers, layer.positions * examples), dtype=dtype).T


def _product(A: np.ndarray, B: np.ndarray) -> Product:
    return partial(np.matmul, A, B, out=np.empty((A.shape[0], B.shape[1]), A.dtype))


def _passes(layer: Layer, m: int, examples: int) -> list[Product]:
    """Return the products of the forward and the backward pass of layer m, which is the first for m = 0."""
    W, width = layer.W, layer.wiring.width if layer.wiring else layer.W.shape[0]
    x, g = _rows(layer, width, examples), _rows(layer, W.shape[1], examples)
    if layer.recurrent:
        W_x, W_h, T = W[:width], W[width:], layer.positions
        h = np.ascontiguousarray(g[:examples])
        found = [_product(W_x.T, x.T)] + T * [_product(W_h.T, h.T)] + (T - 1) * [_product(h, W_h.T)]
    else:
        found = [_product(x, W) if layer.positions == 1 else _product(W.T, x.T)]
    if m > 0:  # the gradient with respect to the images is not needed
        found.append(_product(g, W.T) if layer.wiring is None else _product(W[:width], g.T))
    return found


def _local_products(problem: WiredProblem, method: str, m: int, layer: Layer) -> list[Product]:
    """Return the products of the local problem of layer m; with positions the bias is in none of them."""
    B, (d, d_out) = problem.batch, layer.W.shape
    r = _rows(layer, d_out, B)
    if layer.positions == 1:
        return local_products(problem, method, m, _rows(layer, d + 1, B), r)
    x = _rows(layer, d, B)
    gradient = _product(x.T, r)
    if method == "locoprop-s-closed":
        return [gradient, partial(_solve, x, d_out)]
    return [gradient] + (problem.num_local_steps - 1) * [_product(layer.W.T, x.T), gradient]


def _solve(x: np.ndarray, d_out: int) -> None:
    """Make the Gram matrix of the rows, and solve a system with one row and column more, for the bias."""
    d = x.shape[1]
    system = np.eye(d + 1, dtype=x.dtype, order="F")
    system[:d, :d] += np.matmul(x.T, x)
    # with one BLAS thread, as in the package: SciPy's threads and NumPy's would wait for each other
    with one_blas_thread():
        factor = cho_factor(system, lower=True, overwrite_a=True, check_finite=False)
        cho_solve(factor, np.ones((d + 1, d_out), x.dtype, order="F"), overwrite_b=True, check_finite=False)


def _gradient(layer: Layer, examples: int) -> Product:
    """Return the product X̃ᵀg; with positions the bias' part of it is a sum, and no product."""
    numbers = layer.stacked.shape[0] if layer.positions == 1 else layer.W.shape[0]
    return _product(_rows(layer, numbers, examples).T, _rows(layer, layer.W.shape[1], examples))


def prepare(problem: WiredProblem, method: str, *, parallel: bool = False) -> _Run:
    """Return a run that computes only the products."""
    return _Run(problem, method, parallel)
