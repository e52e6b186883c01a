"""The libraries that take the step; `prepare(problem, method, **options)` of each module returns a `Run`."""

import importlib
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from benchmarks.problem import METHODS, Problem
from benchmarks.wired import WIRED_METHODS, WiredProblem

K_STEPS = ("locoprop-m", "locoprop-s")


class Run(Protocol):
    """A network in training, in any library."""

    def step(self) -> None:
        """Take one step on the batch, and return when it is finished."""

    def weights(self) -> list[np.ndarray]:
        """Return the present W_1, b_1, W_2, b_2, ..., where W has the shape (d_in, d_out)."""


@dataclass(frozen=True)
class Peer:
    """A way to take the step: title, module, the library that it needs, and the methods that it offers."""

    title: str
    module: str
    library: str = "numpy"
    methods: tuple[str, ...] = METHODS
    options: dict[str, Any] = field(default_factory=dict)

    def prepare(self, problem: Problem | WiredProblem, method: str) -> Run:
        """Return a run before its first step."""
        return importlib.import_module(self.module).prepare(problem, method, **self.options)


PEERS = {
    "ours": Peer("locoprop-ref, as it comes", "benchmarks.peers.ours"),
    "ours-side-by-side": Peer(
        "locoprop-ref, layers side by side", "benchmarks.peers.ours", options={"parallel_layers": True}
    ),
    "ours-in-order": Peer(
        "locoprop-ref, layers in order", "benchmarks.peers.ours", options={"parallel_layers": False}
    ),
    "ours-plain": Peer(
        "locoprop-ref, S without Gram matrix", "benchmarks.peers.ours",
        methods=("locoprop-s",), options={"gradient_form": "plain"},
    ),
    "jax": Peer("the same under jax.jit", "benchmarks.peers.jax_jit", "jax"),
    "torch": Peer("the same in eager PyTorch", "benchmarks.peers.torch_eager", "torch"),
    "pypi": Peer(
        "PyPI package locoprop", "benchmarks.peers.pypi_locoprop", "locoprop", methods=("locoprop-m",)
    ),
    "floor-blas": Peer("products alone, threads inside BLAS", "benchmarks.floor"),
    "floor-layers": Peer(
        "products alone, layers side by side", "benchmarks.floor", options={"parallel_layers": True}
    ),
}  # fmt: skip
WIRED_PEERS = {
    "wired-ours": Peer("locoprop-ref", "benchmarks.peers.wired_ours", methods=WIRED_METHODS),
    "wired-jax": Peer("the same under jax.jit", "benchmarks.peers.wired_jax", "jax", WIRED_METHODS),
    "wired-torch": Peer("the same in eager PyTorch", "benchmarks.peers.wired_torch", "torch", WIRED_METHODS),
    "wired-floor-blas": Peer(
        "products alone, threads inside BLAS", "benchmarks.wired_floor", methods=WIRED_METHODS
    ),
    "wired-floor-side-by-side": Peer(
        "products alone, layers or blocks side by side", "benchmarks.wired_floor",
        methods=WIRED_METHODS, options={"parallel": True},
    ),
}  # fmt: skip
FLOORS = ("floor-blas", "floor-layers")
WIRED_FLOORS = ("wired-floor-blas", "wired-floor-side-by-side")
