r"""LocoProp: local loss × targets × regularizer × solver.

One step: forward, the targets of all layers, then every layer's local problem, all of them built from the
weights before the step, so that layers are independent of each other.

    name                 local loss    targets     regularizer    solver
    locoprop-s           squared       gradient    none           K local steps    (the authors')
    locoprop-m           matching      gradient    none           K local steps    (the authors')
    locoprop-s-closed    squared       gradient    proximal       closed form
    locoprop-m-exact     matching      gradient    proximal       damped Newton

Every position takes a part of your own: see `Targets`, `Regularizer` and `Solver`; a local loss is also a
function from a layer to its local transfer function.
"""

import functools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from typing import Any, Literal, get_args

import numpy as np

from locoprop_ref import checks
from locoprop_ref.layers import Layer
from locoprop_ref.local import LOCAL_LOSSES, REDUCTIONS, LocalProblem, Reduction
from locoprop_ref.methods.base import Info, State, check_entries, check_network, check_step, run_layers
from locoprop_ref.methods.diagnostics import diagnostics
from locoprop_ref.network import Network, Trace, backward, forward
from locoprop_ref.regularizers import Proximal, Regularizer
from locoprop_ref.solvers import ClosedForm, Descend, Form, Newton, Solver
from locoprop_ref.targets import GradientTargets, LayerTarget, LocalLoss, Targets
from locoprop_ref.transfers import Transfer

TargetOrder = Literal["jacobi", "gauss-seidel"]
TARGET_ORDERS: tuple[str, ...] = get_args(TargetOrder)

Solved = tuple[Any, State, Info]  # W̃, state and info of a solver


@dataclass(frozen=True, init=False)
class LocoProp:
    r"""LocoProp: a local problem per layer, and a solver for it.

    Args:
        local_loss: "linear" (f = F = 0: gradient descent), "squared" (S: identity and a²/2), "matching" (M:
            the layer's own f and F), or a function that returns a layer's local transfer function.
        targets: the target rule, default `GradientTargets()`, γ = 10 (the authors' code).
        regularizer: default `Proximal()`, none (as in the authors' code).
        solver: `Descend` (default), `ClosedForm` (S only), `Newton` (M, elementwise, η finite), or your own.
        target_step: γ, short for `targets=GradientTargets(γ)`; default None.
        weight_step: η, short for `regularizer=Proximal(η)`; default None.
        local_reduction: local gradient as "sum" over the batch (default, the authors) or "mean".
        target_order: "jacobi" (default, the method): every problem is built from the weights before the
            step; "gauss-seidel": from the bottom up, each layer sees the moved weights below it, with g
            from the old forward pass.
        project_targets: project targets onto the closed range of the local transfer (default False, the
            authors' code).
        parallel_layers: solve the layers side by side, as the method allows, where their sizes say that it
            may pay (default True; `python -m benchmarks side-by-side` measures what it saves); False solves
            them in order with all BLAS threads. The two agree to rounding. "gauss-seidel" is always in order.
        memory_limit: bytes for the rows of one layer, default 256 MiB. Where a convolution's rows take more,
            the solvers `Descend` and `ClosedForm` make them in blocks of examples for every product, see
            `blocks`; Newton and parts of your own get the rows as one array. None for no limit.
        diagnose: report in `info`, per layer, the share of targets out of range, the local loss before and
            after, and the cosine between the update and −∂L/∂W̃ (costs extra products; default False).

    Raises:
        ValueError, TypeError: a setting out of its range, parts that do not go together, or a number
            for a part that is given as another class.

    >>> LocoProp("squared", weight_step=0.1, solver=ClosedForm()).regularizer
    Proximal(weight_step=0.1)
    """

    local_loss: str | LocalLoss
    targets: Targets
    regularizer: Regularizer
    solver: Solver
    local_reduction: Reduction
    target_order: TargetOrder
    project_targets: bool
    parallel_layers: bool
    memory_limit: int | None
    diagnose: bool

    def __init__(
        self,
        local_loss: str | LocalLoss,
        targets: Targets | None = None,
        regularizer: Regularizer | None = None,
        solver: Solver | None = None,
        *,
        target_step: float | tuple[float, ...] | None = None,
        weight_step: float | None = None,
        local_reduction: Reduction = "sum",
        target_order: TargetOrder = "jacobi",
        project_targets: bool = False,
        parallel_layers: bool = True,
        memory_limit: int | None = 2**28,
        diagnose: bool = False,
    ) -> None:
        values = {
            "local_loss": local_loss,
            "targets": _part("targets", targets, GradientTargets, "target_step", target_step),
            "regularizer": _part("regularizer", regularizer, Proximal, "weight_step", weight_step),
            "solver": Descend() if solver is None else solver,
            "local_reduction": local_reduction, "target_order": target_order,
            "project_targets": project_targets, "parallel_layers": parallel_layers,
            "memory_limit": memory_limit, "diagnose": diagnose,
        }  # fmt: skip
        for name, value in values.items():
            object.__setattr__(self, name, value)
        self._check()

    def _check(self) -> None:
        if not callable(self.local_loss):
            checks.one_of("local_loss", self.local_loss, LOCAL_LOSSES)
        checks.one_of("local_reduction", self.local_reduction, REDUCTIONS)
        checks.one_of("target_order", self.target_order, TARGET_ORDERS)
        checks.keep(self, checks.boolean, "project_targets", "parallel_layers", "diagnose")
        if self.memory_limit is not None:
            checks.keep(self, checks.integer, "memory_limit")
        rule = "a target rule, as GradientTargets(10) is; a solver is given as solver=..."
        if isinstance(self.targets, Descend | ClosedForm | Newton):
            raise TypeError(f"targets must be {rule}, got {type(self.targets).__name__}")
        checks.conforms("targets", self.targets, Targets, rule)
        checks.conforms("regularizer", self.regularizer, Regularizer, "a Regularizer, as Proximal(0.1) is")
        checks.conforms(
            "solver", self.solver, Solver, "a Solver: a Descend, ClosedForm or Newton, or your own"
        )
        if isinstance(self.solver, ClosedForm) and self.local_loss == "matching":
            raise ValueError("local_loss must be 'squared' for a closed form, got 'matching'")
        if isinstance(self.solver, Newton) and self.weight_step == inf:
            raise ValueError("weight_step must be finite for newton, got inf")
        if self.target_order == "gauss-seidel" and not isinstance(self.targets, GradientTargets):
            raise ValueError("target_order must be 'jacobi' for another target rule than GradientTargets")

    @property
    def target_step(self) -> Any:
        """γ of `GradientTargets`; None for another target rule."""
        return getattr(self.targets, "step", None)

    @functools.cached_property
    def _by_products(self) -> bool:
        """Whether all parts are known to read the rows by their products alone."""
        known = type(self.targets) is GradientTargets and type(self.regularizer) is Proximal
        return known and type(self.solver) in (Descend, ClosedForm)

    @functools.cached_property
    def _row_limit(self) -> int | None:
        return self.memory_limit if self._by_products else None

    @property
    def weight_step(self) -> Any:
        """η of `Proximal`; None for another regularizer."""
        return getattr(self.regularizer, "weight_step", None)

    def local_transfer(self, layer: Layer) -> Transfer:
        """Return the local transfer function of a layer: its own for M, the identity for S."""
        local_loss = self.local_loss
        if isinstance(local_loss, str):
            return LOCAL_LOSSES[local_loss](layer)
        wanted = "a function that returns a layer's local Transfer"
        return checks.instance("local_loss", local_loss(layer), Transfer, wanted)

    def init(self, network: Network, seed: int = 0) -> State:
        """Return the state of the targets, and of the solver and the regularizer of every layer.

        Args:
            network: the network to train.
            seed: for target rules that draw random numbers.
        """
        layers = tuple(self._init_layer(layer.stacked) for layer in check_network(network).layers)
        return {"targets": self.targets.init(network, seed), "layers": layers}

    def _init_layer(self, W: Any) -> State:
        return {"solver": self.solver.init(W), "regularizer": self.regularizer.init(W)}

    @functools.cached_property
    def _example(self) -> State:
        return self._init_layer(np.ones((1, 1)))  # a weight that every geometry allows

    def step(
        self, network: Network, state: State, x: Any, t: Any, *, rate: float = 1.0
    ) -> tuple[Network, State, Info]:
        """Return (network, state, info): one pass forward, the targets, then every layer by itself.

        Args:
            network: the network.
            state: what `init` or the step before returned.
            x: (B, d_0) batch, in the dtype of the network.
            t: (B, d_M), what the network should say.
            rate: r ≥ 0, the schedule's factor of the step size, default 1.

        Returns:
            the network and the state after the step, and info: {}, or {"layers": [...]} with a dict for each
            layer: what the solver reports (Newton: "converged", "newton_steps", "relative_gradient"), and
            with `diagnose` "out_of_range", "local_loss_before", "local_loss_after" and "cosine_to_gradient".

        Raises:
            ValueError, TypeError: r < 0, a state of another network or method, x or t of another shape, dtype
                or library than the network, or (on the host) with nan or infinity in it.

        Warns:
            RuntimeWarning: Newton did not converge in some layer.
        """
        rate = check_step(network, state, x, t, rate)
        check_entries(network, state, self._example)
        if "targets" not in state:
            raise ValueError("state must be what init made of this network, got one without 'targets'")
        trace = forward(network, x, self._row_limit)
        solve = self._solve_jacobi if self.target_order == "jacobi" else self._solve_gauss_seidel
        problems, solved, after = solve(network, state, trace, x, t, rate)
        parts = zip(network.layers, solved, strict=True)
        layers = tuple([layer.with_stacked(W) for layer, (W, _, _) in parts])
        entries = [
            {"solver": kept, "regularizer": self.regularizer.update(p.x, p.memory)}
            for p, (_, kept, _) in zip(problems, solved, strict=True)
        ]
        return (
            replace(network, layers=layers),
            {"targets": after, "layers": tuple(entries)},
            self._report(problems, solved),
        )

    def local_problem(self, layer: Layer, x: Any, a_hat: Any, y_hat: Any, g: Any) -> LocalProblem:
        """Return a layer's problem for `GradientTargets` of one γ: y* = ŷ − γg for M, â − γg for S.

        Args:
            layer: the layer, with its weights before the step.
            x: (R, d_in) rows of its input, without the column of ones.
            a_hat: (R, d_out) pre-activation.
            y_hat: (R, d_out) post-activation.
            g: (R, d_out), ∂L/∂â, the 1/B of the mean over the batch included.

        Raises:
            TypeError: another target rule.
        """
        wanted = "GradientTargets for the problem of a single layer"
        rule: GradientTargets = checks.instance("targets", self.targets, GradientTargets, wanted)
        f, state = self.local_transfer(layer), self.regularizer.init(layer.stacked)
        target = rule.of_layer(layer, f, x, a_hat, y_hat, g, self.target_step)
        return self._problem(layer, target, state, x.shape[0] // layer.positions)

    def _problem(
        self, layer: Layer, target: LayerTarget, state: State, num_examples: int, *, copy: bool = True
    ) -> LocalProblem:
        f, y_target = target.transfer, target.y_target
        # a class of one's own may return anything, one that inherits from ours too
        proximal, known = type(self.regularizer) is Proximal, type(self.targets) is GradientTargets
        return (LocalProblem.unchecked if known else LocalProblem)(
            x=layer.augment(target.x, copy=copy),
            y_target=f.project(y_target) if self.project_targets else y_target,
            transfer=f,
            W0=layer.stacked,
            weight_step=self.weight_step if proximal else inf,
            reduction=self.local_reduction,
            a_hat0=target.a_hat,
            regularizer=None if proximal else self.regularizer,
            regularizer_state=state,
            num_examples=num_examples,
            loss_weight=target.loss_weight,
        )

    def _solve_jacobi(
        self, network: Network, state: State, trace: Trace, batch: Any, t: Any, rate: float
    ) -> tuple[list[LocalProblem], list[Solved], State]:
        targets, after = self.targets(network, trace, t, self.local_transfer, state["targets"])
        copy = not self._by_products
        problems = [
            self._problem(layer, target, entry["regularizer"], t.shape[0], copy=copy)
            for layer, target, entry in zip(network.layers, targets, state["layers"], strict=True)
        ]
        pairs = zip(problems, state["layers"], strict=True)
        tasks = [partial(self.solver, problem, entry["solver"], rate) for problem, entry in pairs]
        rows = [problem.x.shape[0] for problem in problems]
        return problems, run_layers(tasks, network, rows, self.parallel_layers), after

    def _solve_gauss_seidel(
        self, network: Network, state: State, trace: Trace, batch: Any, t: Any, rate: float
    ) -> tuple[list[LocalProblem], list[Solved], State]:
        rule, y = self.targets, batch
        problems: list[LocalProblem] = []
        solved: list[Solved] = []
        assert isinstance(rule, GradientTargets)  # noqa: S101  # checked when the method was made
        parts = zip(network.layers, state["layers"], backward(network, trace, t), strict=True)
        for (layer, entry, g), gamma in zip(parts, rule.steps(len(network.layers)), strict=True):
            x, a_hat, y_hat = layer.through(y, self._row_limit)
            f = self.local_transfer(layer)
            target = rule.of_layer(layer, f, x, a_hat, y_hat, g, gamma)
            copy = not self._by_products
            problems.append(self._problem(layer, target, entry["regularizer"], t.shape[0], copy=copy))
            solved.append(self.solver(problems[-1], entry["solver"], rate))
            W = solved[-1][0]
            # x̃ stands for all rows of a layer, but not for what a recurrent one reads of itself
            moved = layer.with_stacked(W).through(y)[2] if layer.recurrent else None
            y = layer.transfer.f(problems[-1].x @ W) if moved is None else moved
        return problems, solved, state["targets"]

    def _report(self, problems: Sequence[LocalProblem], solved: Sequence[Solved]) -> Info:
        """Return what the solvers report, with the diagnostics if they are asked for; warn of Newton's."""
        rows = [dict(info) for _, _, info in solved]
        if self.diagnose:
            for row, problem, (W, _, _) in zip(rows, problems, solved, strict=True):
                row.update(diagnostics(problem, W))
        stuck = [str(m) for m, row in enumerate(rows, start=1) if not row.get("converged", True)]
        if stuck:
            message = f"the solver did not converge in layer {', '.join(stuck)}; info says how far it came"
            warnings.warn(message, RuntimeWarning, stacklevel=3)
        return {"layers": rows} if any(rows) else {}


def _part(name: str, part: Any, kind: Any, short_name: str, short: Any) -> Any:
    """Return a part that may be given by itself or by its one number."""
    if short is None:
        return kind() if part is None else part
    if part is not None and not isinstance(part, kind):
        raise ValueError(f"{short_name} is short for {name}={kind.__name__}({short}), got {name} as well")
    return kind(short)


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
    return LocoProp("squared", solver=Descend() if local is None else local, **settings)


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
    return LocoProp("matching", solver=Descend() if local is None else local, **settings)


def locoprop_s_closed(
    form: Form = "auto", target_step: float = 100.0, weight_step: float = 0.1, **settings: Any
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
    parts: dict[str, Any] = {"target_step": target_step, "weight_step": weight_step}
    return LocoProp("squared", solver=ClosedForm(form), **parts, **settings)


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
    parts: dict[str, Any] = {"target_step": target_step, "weight_step": weight_step}
    return LocoProp("matching", solver=Newton() if solver is None else solver, **parts, **settings)
