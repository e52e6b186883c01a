r"""F9, F10 and F13: errors that go down the layers in waves, and the geometric schedules γ_m = s^{M−m}.

Predictive coding lets its errors travel down one layer in a time step; lifted networks move their variables
from the top down. The references are computed on the host, step by step.
"""

from typing import Any

import numpy as np

from locoprop_ref.backend import to_numpy
from locoprop_ref.methods.locoprop import LocoProp
from locoprop_ref.network import gradients
from locoprop_ref.optimizers import SGD
from locoprop_ref.solvers import Descend
from locoprop_ref.targets import GradientTargets
from locoprop_ref.verify.cases import Case, changes, random_case, weight_scale
from locoprop_ref.verify.host import HOST, Array
from locoprop_ref.verify.measure import Identity, Measurement, far, worst


def first_wave_is_a_geometric_schedule(seed: int = 0, xp: Any = np) -> Identity:
    """F9, F10: one step of S with γ_m = s^{M−m} is Z-IL predictive coding; s = 1 is BackProp.

    In Z-IL a layer learns at the moment when its error first arrives. The reference moves all value nodes at
    all times.
    """
    rate, waves, backprop = 0.1, [], []
    for name in ("tanh", "relu"):
        case = random_case(name, "sigmoid", "sigmoid_cross_entropy", seed=seed, xp=xp, sizes=(4, 5, 4, 4, 3))
        M = len(case.network.layers)
        for s in (0.5, 1.0):
            solver = Descend(SGD(), rate, 1, local_decay="constant")
            method = LocoProp("squared", GradientTargets.geometric(s, M), solver=solver)
            by_hand = gradients(case.network, case.x, case.t)
            parts = zip(changes(method, case), _first_errors(case, s), by_hand, strict=True)
            for m, (found, error, gradient) in enumerate(parts):
                x = to_numpy(case.network.layers[m].augment(case.trace.x[m]))
                wanted = rate * x.T @ error
                waves.append(far(found, wanted, weight_scale(case, m, wanted)))
                if s == 1:
                    wanted = -rate * to_numpy(gradient)
                    backprop.append(far(found, wanted, weight_scale(case, m, wanted)))
    reason = "rounding of a − â, times |W||f′| per layer"
    return Identity(
        "F9",
        "one step of S with γ_m = s^{M−m} is predictive coding's first wave",
        (
            Measurement("Z-IL, simulated node by node", worst(waves), 1e-12, reason),
            Measurement("s = 1: BackProp", worst(backprop), 1e-12, "rounding of X̃ᵀg and of W̃"),
        ),
    )


def _first_errors(case: Case, s: float) -> list[Array]:
    """Return the error a_m − â_m(a_{m−1}) of every layer at the time M − m, when it is first not zero.

    The value nodes start at the forward pass; the last ones are held at â_M − ∂L/∂â_M.
    """
    layers = case.network.layers
    M, values = len(layers), [to_numpy(a_hat) for a_hat in case.trace.a_hat]
    values[-1] = values[-1] - to_numpy(case.g[-1])
    W, b = [to_numpy(layer.W) for layer in layers], [to_numpy(layer.b) for layer in layers]
    functions = [HOST[layer.transfer.name] for layer in layers]
    seen: list[Array] = []
    for time in range(M):
        said = [to_numpy(case.x), *(functions[m].f(values[m]) for m in range(M - 1))]
        errors = [values[m] - (said[m] @ W[m] + b[m]) for m in range(M)]
        seen.insert(0, errors[M - 1 - time])
        # −∂E/∂a_m of E = Σ ½‖a_m − â_m(a_{m−1})‖²
        values[:-1] = [
            values[m] - s * (errors[m] - (errors[m + 1] @ W[m + 1].T) * functions[m].slope(values[m]))
            for m in range(M - 1)
        ]
    return seen


# F13: the same schedule for M ----------------------------------------------------------------------


def lifted_step_gives_the_targets_of_m(seed: int = 0, xp: Any = np) -> Identity:
    """F13: one step on every ŷ, in the metric of its own F*, from the top down, gives the targets of M.

    The loss of ŷ_m is the Fenchel–Young term of the layer above, F(â) + F*(y*) − y*·â, at its moved y*. Its
    gradient by ŷ_m is taken by complex steps, in which an error of size 1e-40 is left.
    """
    errors, s = [], 0.6
    for name in ("tanh", "sigmoid"):
        case = random_case(name, "sigmoid", "sigmoid_cross_entropy", seed=seed, xp=xp, sizes=(4, 5, 4, 3))
        layers, trace = case.network.layers, case.trace
        rule = GradientTargets.geometric(s, len(layers))
        given, _ = rule(case.network, trace, case.t, lambda layer: layer.transfer, {})
        moved = to_numpy(trace.y_hat[-1]) - to_numpy(case.g[-1])
        for m in range(len(layers) - 2, -1, -1):
            y, slopes = to_numpy(trace.y_hat[m]), HOST[name].slope(to_numpy(trace.a_hat[m]))
            moved = y - s * slopes * _pull(layers[m + 1], y, moved)
            errors.append(far(given[m].y_target, moved, 1.0))
    reason = "roundings of ŷ, which is at most 1"
    parts = (Measurement("y*_m = ŷ_m − s f′ ∂/∂ŷ_m of the term above", worst(errors), 1e-13, reason),)
    return Identity("F13", "lifted networks: one step gives M's targets, γ_m = s^{M−m}", parts)


def _pull(layer: Any, y: Array, y_target: Array) -> Array:
    """Return ∂/∂y of Σ F(yW + b) − y*·(yW + b), unit by unit, for all examples at once."""
    F, h, columns = HOST[layer.transfer.name].F, 1e-20, []
    for i in range(y.shape[1]):
        a = (y + h * 1j * np.eye(y.shape[1])[i]) @ to_numpy(layer.W) + to_numpy(layer.b)
        columns.append(np.imag(np.sum(F(a) - y_target * a, axis=1)) / h)
    return np.stack(columns, axis=1)
