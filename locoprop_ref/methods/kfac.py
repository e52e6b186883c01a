r"""K-FAC: the natural gradient with a Kronecker-factored Fisher matrix, block by block.

    ∇ = ∂L/∂W̃,    Δ = (A + π√λ I)⁻¹ ∇ (G + √λ/π I)⁻¹,    v ← μv + νΔ,    W̃ ← W̃ − r·s·v

A and G are running averages (`kronecker.py`) of the second moments of the inputs x̃ and of the derivatives at
the pre-activations, the latter for outputs that the network draws itself (`fisher.py`). ν = 1 unless
`kl_clip` is set. This is the block-diagonal form; the paper's block-tridiagonal one, its choice of step size
and momentum from the quadratic model, and its adaptation of λ are left out.

Source: Martens and Grosse, "Optimizing Neural Networks with Kronecker-factored Approximate Curvature", ICML
2015 (arXiv 1503.05671).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Literal, get_args

from locoprop_ref import checks
from locoprop_ref.backend import array_namespace, device
from locoprop_ref.methods.base import State
from locoprop_ref.methods.fisher import sample_output
from locoprop_ref.methods.gradient import GradientMethod
from locoprop_ref.methods.kronecker import damped_inverses, input_factor, output_factor, running_average
from locoprop_ref.network import Network, Trace, backward
from locoprop_ref.optimizers import Momentum

Fisher = Literal["sampled", "empirical"]
FISHERS: tuple[str, ...] = get_args(Fisher)


@dataclass(frozen=True)
class KFAC(GradientMethod):
    r"""K-FAC with factored Tikhonov damping and momentum.

    Args:
        learning_rate: s > 0; default 0.01, a first guess, untuned.
        damping: λ > 0, default 0.01, a first guess, untuned; λ is split over A and G by their traces.
        momentum: μ, 0 ≤ μ < 1; default 0.9, the usual one (the paper chooses it at every step).
        fisher: "sampled" (default, the paper: the Fisher matrix, with t drawn from the network's own output,
            which costs a second backward pass) or "empirical" (the batch's labels).
        factor_decay: of the running averages, 0 ≤ decay < 1; default 0.95 (the paper). 0: this batch alone.
        factor_interval: update the factors every `factor_interval` batches; default 1.
        inverse_interval: compute the inverses every `inverse_interval` steps and keep them in between;
            default 20 (the paper's T₃, which computes them at each of the first three steps besides).
        kl_clip: κ > 0, or inf (default: off), see below.
        parallel_layers: the layers side by side (default True, for the reason given in `LocoProp`).

    Raises:
        ValueError, TypeError: a setting out of its range.

    With κ the new direction is shortened by ν = min(1, √(κ/q)), q = (r·s)² Σ_m ⟨Δ_m, ∇_m⟩. As ⟨Δ, ∇⟩ is
    Δᵀ(A ⊗ G)Δ, damping included, q is the squared length of the step r·sΔ in the metric of the Fisher matrix,
    about twice the Kullback–Leibler divergence between the network's outputs before and after. After Ba,
    Grosse and Martens, "Distributed Second-order Optimization using Kronecker-Factored Approximations", ICLR
    2017, who bound the step in that metric. Clipping applies to Δ before
    momentum, with this step's r, so the applied step r·s·v can exceed κ; most of all after steps at r = 0, in
    which nothing is clipped and v accumulates.

    >>> KFAC(damping=0.1).inverse_interval
    20
    """

    learning_rate: float = 1e-2
    damping: float = 1e-2
    momentum: float = 0.9
    fisher: Fisher = "sampled"
    factor_decay: float = 0.95
    factor_interval: int = 1
    inverse_interval: int = 20
    kl_clip: float = inf
    parallel_layers: bool = True

    def __post_init__(self) -> None:
        checks.keep(self, checks.positive, "learning_rate", "damping")
        checks.keep(self, checks.positive, "kl_clip", infinite=True)
        checks.keep(self, checks.fraction, "momentum", "factor_decay")
        checks.keep(self, checks.integer, "factor_interval", "inverse_interval")
        checks.one_of("fisher", self.fisher, FISHERS)
        checks.keep(self, checks.boolean, "parallel_layers")

    @property
    def preconditioner(self) -> "KroneckerPreconditioner":
        """(A + π√λ I)⁻¹ ∇ (G + √λ/π I)⁻¹."""
        return KroneckerPreconditioner(
            self.damping, self.factor_decay, self.factor_interval, self.inverse_interval
        )

    @property
    def optimizer(self) -> Momentum:
        """V ← μv + νΔ, W̃ ← W̃ − r·s·v."""
        return Momentum(self.momentum)

    @property
    def clip(self) -> float:
        """κ."""
        return self.kl_clip

    def counts(self, seed: int) -> dict[str, int]:
        """Return step 0, and the seed of the draws from the network's output.

        Raises:
            ValueError, TypeError: seed is no integer of at least 0.
        """
        return {"step": 0, "seed": checks.integer("seed", seed, minimum=0, maximum=None)}

    def model_g(
        self, network: Network, trace: Trace, t: Any, g: Any, counts: dict[str, int]
    ) -> Sequence[Any]:
        """Return the g of every layer that G is made of; nothing is drawn in a step in which G is not due."""
        if self.fisher == "empirical" or counts["step"] % self.factor_interval:
            return g
        drawn = sample_output(network, trace.a_hat[-1], seed=counts["seed"], step=counts["step"])
        return backward(network, trace, drawn)


@dataclass(frozen=True)
class KroneckerPreconditioner:
    """Δ = (A + π√λ I)⁻¹ ∇ (G + √λ/π I)⁻¹, A and G running averages; the arguments are those of `KFAC`."""

    damping: float
    factor_decay: float
    factor_interval: int
    inverse_interval: int

    def init(self, W: Any) -> State:
        """Return A, G and their inverses, zeros."""
        xp = array_namespace(W)
        inputs, outputs = (xp.zeros((d, d), dtype=W.dtype, device=device(W)) for d in W.shape)
        return {"A": inputs, "G": outputs, "A_inverse": inputs, "G_inverse": outputs}

    def update(
        self, gradient: Any, x: Any, g: Any, state: State, step: int, num_examples: int
    ) -> tuple[Any, State]:
        """Return (Δ, state); factors and inverses are renewed in the steps in which they are due."""
        A, G = state["A"], state["G"]
        if step % self.factor_interval == 0:
            count = step // self.factor_interval + 1
            A = running_average(A, input_factor(x, num_examples), count, self.factor_decay)
            G = running_average(G, output_factor(g, num_examples), count, self.factor_decay)
        inverses = state["A_inverse"], state["G_inverse"]
        if step % self.inverse_interval == 0:
            inverses = damped_inverses(A, G, self.damping)
        A_inverse, G_inverse = inverses
        kept = {"A": A, "G": G, "A_inverse": A_inverse, "G_inverse": G_inverse}
        return A_inverse @ gradient @ G_inverse, kept
