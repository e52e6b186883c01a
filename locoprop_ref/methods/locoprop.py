r"""Training methods: BackProp, and LocoProp by K steps, in closed form, exactly; see `contract`.

One LocoProp step: forward, backward, then every layer's local problem, all built from the weights before
the step, so that layers are independent of each other.

    name                 local loss    solver
    locoprop-s           squared       K local steps           (the authors')
    locoprop-m           matching      K local steps           (the authors')
    locoprop-s-closed    squared       closed form
    locoprop-m-exact     matching      damped Newton
"""

from dataclasses import dataclass, replace
from functools import partial
from math import inf
from typing import Any

from locoprop_ref import checks
from locoprop_ref.layers import Layer, layer_input, pre_activation, stacked, unstacked
from locoprop_ref.local import REDUCTIONS, LocalProblem
from locoprop_ref.methods.base import Info, State, check_entries, check_step, run_layers
from locoprop_ref.methods.diagnostics import diagnosis
from locoprop_ref.network import Network, backward, forward
from locoprop_ref.solvers import ClosedForm, Descend, Newton
from locoprop_ref.targets import target
from locoprop_ref.transfers import transfer

TARGET_ORDERS = ("jacobi", "gauss-seidel")
LOCAL_LOSSES = ("squared", "matching")


@dataclass(frozen=True)
class LocoProp:
    r"""LocoProp: a local problem per layer, and a solver for it.

    Args:
        local_loss: "squared" (S: identity and a²/2) or "matching" (M: the layer's own f and F).
        solver: `Descend`, `ClosedForm` (S only) or `Newton` (M, elementwise, η finite).
        target_step: γ > 0, default 10 (the authors' code).
        weight_step: η > 0 of the proximal term, default inf (the authors' code has none).
        local_reduction: local gradient as "sum" over the batch (default, the authors) or "mean".
        target_order: "jacobi" (default, the method): every problem is built from the weights before the
            step; "gauss-seidel": from the bottom up, each layer sees the moved weights below it, with g
            from the old forward pass.
        project_targets: project targets onto the closed range of the local transfer (default False, the
            authors' code).
        parallel_layers: solve the layers side by side, as the method allows (default True: on two cores it
            saves a sixth of a step by K steps, half of a closed form); False solves them in order with all
            BLAS threads. The two agree to rounding. "gauss-seidel" is always in order.
        diagnose: report in `info`, per layer, the share of targets out of range, the local loss before and
            after, and the cosine between the update and −∂L/∂W̃ (costs extra products; default False).

    Raises:
        ValueError, TypeError: a setting out of its range, or a solver that does not go with the local loss.
    """

    local_loss: str
    solver: Descend | ClosedForm | Newton
    target_step: float = 10.0
    weight_step: float = inf
    local_reduction: str = "sum"
    target_order: str = "jacobi"
    project_targets: bool = False
    parallel_layers: bool = True
    diagnose: bool = False

    def __post_init__(self) -> None:
        choices = {"local_loss": LOCAL_LOSSES, "local_reduction": REDUCTIONS, "target_order": TARGET_ORDERS}
        for name, known in choices.items():
            checks.one_of(name, getattr(self, name), known)
        for name in ("project_targets", "parallel_layers", "diagnose"):
            checks.boolean(name, getattr(self, name))
        checks.positive("target_step", self.target_step)
        checks.positive("weight_step", self.weight_step, infinite=True)
        checks.instance(
            "solver", self.solver, Descend | ClosedForm | Newton, "a Descend, ClosedForm or Newton"
        )
        if isinstance(self.solver, ClosedForm) and self.local_loss != "squared":
            raise ValueError("local_loss must be 'squared' for a closed form, got 'matching'")
        if isinstance(self.solver, Newton) and self.weight_step == inf:
            raise ValueError("weight_step must be finite for newton, got inf")

    def init(self, network: Network, seed: int = 0) -> State:
        """Return {"layers": the solver's state of every layer}.

        Args:
            network: the network to train.
            seed: for methods that draw random numbers; this one does not.
        """
        return {"layers": tuple(self.solver.init(stacked(layer)) for layer in network.layers)}

    def step(
        self, network: Network, state: State, x: Any, t: Any, *, rate: float = 1.0
    ) -> tuple[Network, State, Info]:
        """Return (network, state, info): one pass forward and back, then every layer by itself.

        Args:
            network: the network.
            state: what `init` or the step before returned.
            x: (B, d_0) batch, in the dtype of the network.
            t: (B, d_M), what the network should say.
            rate: r ≥ 0, the schedule's factor of the step size, default 1.

        Returns:
            the network and the state after the step, and info: {}, or with `diagnose` {"layers": [...]}, a
            dict for each layer with "out_of_range", "local_loss_before", "local_loss_after" and
            "cosine_to_gradient".

        Raises:
            ValueError, TypeError: r < 0, a state of another network or method, x or t of another shape, dtype
                or library than the network, or (on the host) with nan or infinity in it.
        """
        check_step(network, state, x, t, rate)
        check_entries(network, state, self.solver.init(network.layers[0].W[:1, :1]))
        trace = forward(network, x)
        g = backward(network, trace, t)
        solve = self._solve_jacobi if self.target_order == "jacobi" else self._solve_gauss_seidel
        problems, solved = solve(network, state, trace, g, rate)
        layers = tuple(unstacked(layer, W) for layer, (W, _) in zip(network.layers, solved, strict=True))
        info = diagnosis(problems, solved) if self.diagnose else {}
        return replace(network, layers=layers), {"layers": tuple(s for _, s in solved)}, info

    def local_problem(self, layer: Layer, x: Any, a_hat: Any, y_hat: Any, g: Any) -> LocalProblem:
        """Return a layer's problem: y* = ŷ − γg for M, â − γg with the identity as transfer for S.

        Args:
            layer: the layer, with its weights before the step.
            x: (B, d_in) its input, without the column of ones.
            a_hat: (B, d_out) pre-activation.
            y_hat: (B, d_out) post-activation.
            g: (B, d_out), ∂L/∂â, the 1/B of the mean over the batch included.
        """
        local = layer.transfer if self.local_loss == "matching" else transfer("identity")
        y_target = target(y_hat if self.local_loss == "matching" else a_hat, g, self.target_step)
        if self.project_targets:
            y_target = local.project(y_target)
        W0, eta = stacked(layer), self.weight_step
        return LocalProblem(layer_input(layer, x), y_target, local, W0, eta, self.local_reduction, a_hat)

    def _solve_jacobi(self, network: Network, state: State, trace: Any, g: Any, rate: float) -> Any:
        everything = zip(network.layers, trace.x, trace.a_hat, trace.y_hat, g, strict=True)
        problems = [self.local_problem(*parts) for parts in everything]
        tasks = [partial(self.solver, p, s, rate) for p, s in zip(problems, state["layers"], strict=True)]
        return problems, run_layers(tasks, network, self.parallel_layers)

    def _solve_gauss_seidel(self, network: Network, state: State, trace: Any, g: Any, rate: float) -> Any:
        problems, solved, x = [], [], trace.x[0]
        for layer, old, g_m in zip(network.layers, state["layers"], g, strict=True):
            a_hat = pre_activation(layer, x)
            problems.append(self.local_problem(layer, x, a_hat, layer.transfer.f(a_hat), g_m))
            solved.append(self.solver(problems[-1], old, rate))
            x = layer.transfer.f(problems[-1].x @ solved[-1][0])
        return problems, solved


def locoprop_s(local: Descend | None = None, **settings: Any) -> LocoProp:
    """Return LocoProp-S by K steps.

    Args:
        local: the K steps, default `Descend()`: RMSProp, s = 1e-5, K = 10 (the authors' code, where they
            are those of M).
        **settings: of `LocoProp`; by default γ = 10 and no proximal term (likewise).

    Raises:
        ValueError, TypeError: a setting out of its range, or one that `LocoProp` does not have.

    >>> locoprop_s(Descend(num_local_steps=5)).solver.num_local_steps
    5
    """
    return LocoProp("squared", local or Descend(), **settings)


def locoprop_m(local: Descend | None = None, **settings: Any) -> LocoProp:
    """Return LocoProp-M by K steps.

    Args:
        local: the K steps, default `Descend()`: RMSProp, s = 1e-5, K = 10 (all from the authors' code).
        **settings: of `LocoProp`; by default γ = 10 and no proximal term (the authors' code).

    Raises:
        ValueError, TypeError: a setting out of its range, or one that `LocoProp` does not have.

    >>> locoprop_m(Descend(num_local_steps=5)).solver.num_local_steps
    5
    """
    return LocoProp("matching", local or Descend(), **settings)


def locoprop_s_closed(
    form: str = "auto", target_step: float = 100.0, weight_step: float = 0.1, **settings: Any
) -> LocoProp:
    """Return LocoProp-S in closed form.

    γ = 100 and η = 0.1 are a starting point from one trial on the MNIST deep autoencoder (train cross-entropy
    88.6 after 5 epochs, with the authors' schedule), not tuned.

    Args:
        form: "auto" (default), "primal", "dual" or "inverse", see `closed_form`.
        target_step: γ > 0, default 100.
        weight_step: η > 0, default 0.1; inf for no proximal term.
        **settings: the others of `LocoProp`.

    Raises:
        ValueError, TypeError: a setting out of its range, or one that `LocoProp` does not have.
    """
    return LocoProp("squared", ClosedForm(form), target_step, weight_step, **settings)


def locoprop_m_exact(
    solver: Newton | None = None, target_step: float = 10.0, weight_step: float = 0.1, **settings: Any
) -> LocoProp:
    """Return LocoProp-M solved exactly, by damped Newton; transfers must be elementwise.

    Args:
        solver: default `Newton()`.
        target_step: γ > 0, default 10, a first guess, untuned.
        weight_step: η > 0, finite, default 0.1, a first guess, untuned.
        **settings: the others of `LocoProp`.

    Raises:
        ValueError, TypeError: a setting out of its range, or one that `LocoProp` does not have.
    """
    return LocoProp("matching", solver or Newton(), target_step, weight_step, **settings)
