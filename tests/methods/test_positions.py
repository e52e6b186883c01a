"""Every method on networks with positions: a patch, or a time step, is one more row of the local problem."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from positions import BATCH, NETWORKS, of

from locoprop_ref import METHODS, CodeTargets, method
from locoprop_ref.local import LocalProblem
from locoprop_ref.methods.backprop import backprop
from locoprop_ref.methods.foof import FOOF
from locoprop_ref.methods.locoprop import LocoProp, locoprop_m, locoprop_s, locoprop_s_closed
from locoprop_ref.methods.registry import OFFLINE
from locoprop_ref.network import backward, forward, gradients, network_loss
from locoprop_ref.optimizers import OPTIMIZERS, optimizer
from locoprop_ref.solvers import ClosedForm, Descend, Newton
from locoprop_ref.targets import code_update
from locoprop_ref.transfers import transfer

SETTINGS = {
    "backprop": {"optimizer_name": "sgd", "learning_rate": 0.05},
    "locoprop-s": {"local": Descend(optimizer("sgd"), 2e-3)},
    "locoprop-m": {"local": Descend(optimizer("sgd"), 2e-3)},
    "locoprop-s-closed": {"target_step": 3.0},
    "locoprop-m-exact": {"target_step": 0.5},
    "kfac": {"damping": 1.0, "learning_rate": 0.05},
    "foof": {"damping": 1.0},
    "shampoo": {"learning_rate": 0.02},
    "am": {"optimizer_name": "adam", "solver": Descend(optimizer("adam"), 1e-2, 1)},
    "am-mem": {"targets": CodeTargets(last_layer="gradient", last_step=2.0)},
    "fa": {"solver": Descend(optimizer("sgd"), 0.1, 1)},
    "dfa": {"solver": Descend(optimizer("sgd"), 0.1, 1)},
    "ste": {"optimizer_name": "sgd", "learning_rate": 0.05},
}
REFUSED = {  # (method, network): what the method says of it
    **{(kind, "recurrent"): "network must have no recurrent layer for codes" for kind in ("am", "am-mem")},
    **{
        (kind, name): "network must have dense layers alone for learned inverses"
        for kind in ("tp", "dtp")
        for name in NETWORKS
    },
}


def made(kind, **more):
    return replace(method(kind, **SETTINGS.get(kind, {})), **more)


def trained(ours, network, x, t, steps=8):
    state = ours.init(network)
    for _ in range(steps):
        network, state, _ = ours.step(network, state, x, t)
    return network


@pytest.mark.each("name")
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("kind", [kind for kind in METHODS if kind not in OFFLINE])
def test_every_method_trains_every_network(backend, name, kind):
    network, x, t, _ = of(name, backend)
    ours = made(kind, parallel_layers=False)
    if (kind, name) in REFUSED:
        with pytest.raises(ValueError, match=f"^{REFUSED[kind, name]}"):
            trained(ours, network, x, t, steps=1)
        return
    before, after = (float(network_loss(net, x, t)) for net in (network, trained(ours, network, x, t)))
    assert after < 0.97 * before


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("rule", OPTIMIZERS)
def test_backprop_trains_with_every_optimizer(numpy_backend, name, rule):
    network, x, t, _ = of(name, numpy_backend)
    after = float(network_loss(trained(backprop(rule, 3e-3), network, x, t, steps=30), x, t))
    assert after < 0.99 * float(network_loss(network, x, t))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    "options", [{"target_order": "gauss-seidel"}, {"project_targets": True}, {"diagnose": True}]
)
@pytest.mark.parametrize("make", [locoprop_s, locoprop_m])
def test_the_other_ways_of_locoprop(numpy_backend, name, options, make):
    network, x, t, _ = of(name, numpy_backend)
    ours = make(Descend(optimizer("sgd"), 2e-3), **options)
    assert float(network_loss(trained(ours, network, x, t), x, t)) < float(network_loss(network, x, t))
    _, _, info = ours.step(network, ours.init(network), x, t)
    assert ("layers" in info) is ("diagnose" in options)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("make", [locoprop_s, locoprop_m])
def test_i1_the_first_inner_step_is_backprop(backend, name, make):
    """One plain inner step moves W̃ by −sγ ∂L/∂W̃: one target a row, and g the total derivative there."""
    network, x, t, _ = of(name, backend)
    ours = make(Descend(optimizer("sgd"), 1e-3, 1), target_step=7.0, parallel_layers=False)
    moved, _, _ = ours.step(network, ours.init(network), x, t)
    for old, new, gradient in zip(network.layers, moved.layers, gradients(network, x, t), strict=True):
        change = (backend.numpy(new.stacked) - backend.numpy(old.stacked)) / 7e-3
        # W̃ is of size 1 and is moved by 7e-3 of the gradient: its rounding, 2e-16, counts 140 times
        assert_allclose(change, -backend.numpy(gradient), rtol=0, atol=2e-13)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_the_closed_form_is_one_problem_over_all_rows(numpy_backend, name, reduction):
    """Primal, dual and FOOF of one batch are the same; the mean is over B examples, not over R rows."""
    network, x, t, _ = of(name, numpy_backend)
    eta, gamma = 0.3, 2.0
    found = {
        form: LocoProp(
            "squared", target_step=gamma, weight_step=eta, solver=ClosedForm(form), local_reduction=reduction,
            parallel_layers=False,
        )
        for form in ("primal", "dual")
    }  # fmt: skip
    # the same direction, (I + ηX̃ᵀX̃)⁻¹: I9, with rate and damping by the number of examples
    of_mean = 1.0 if reduction == "sum" else 1 / BATCH
    damping, rate = 1 / (eta * of_mean * BATCH), gamma / BATCH
    found["foof"] = FOOF(learning_rate=rate, damping=damping, momentum=0.0, factor_decay=0.0)
    moved = {key: ours.step(network, ours.init(network), x, t)[0] for key, ours in found.items()}
    for layers in zip(*(net.layers for net in moved.values()), strict=True):
        for other in layers[1:]:
            assert_allclose(other.stacked, layers[0].stacked, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NETWORKS)
def test_exact_m_is_a_minimum_over_all_rows(numpy_backend, name):
    network, x, t, _ = of(name, numpy_backend)
    ours = LocoProp("matching", target_step=0.5, weight_step=0.1, solver=Newton())
    moved, _, info = ours.step(network, ours.init(network), x, t)
    assert all(row["converged"] for row in info["layers"])
    trace = forward(network, x)
    parts = zip(network.layers, moved.layers, trace.x, trace.y_hat, backward(network, trace, t), strict=True)
    for old, new, x_m, y_hat, g in parts:
        problem = LocalProblem(old.augment(x_m), y_hat - 0.5 * g, old.transfer, old.stacked, weight_step=0.1)
        assert np.abs(problem.gradient(new.stacked)).max() < 1e-11


@pytest.mark.parametrize(
    "kind", [kind for kind in METHODS if kind not in OFFLINE and (kind, "mean") not in REFUSED]
)
def test_layers_side_by_side_are_those_in_order(numpy_backend, kind):
    network, x, t, _ = of("mean", numpy_backend)
    one, other = (
        trained(made(kind, parallel_layers=parallel), network, x, t, steps=2) for parallel in (True, False)
    )
    for a, b in zip(one.layers, other.layers, strict=True):
        assert_allclose(a.stacked, b.stacked, rtol=0, atol=1e-12)


def test_codes_on_a_recurrent_layer_are_refused(numpy_backend):
    network, x, t, _ = of("recurrent", numpy_backend)
    with pytest.raises(ValueError, match="network must have no recurrent layer for codes"):
        code_update(network, forward(network, x), t, 0.5)


def test_codes_of_a_convolution_are_the_targets_of_s(numpy_backend):
    """I11: γ_m = s^(M−m)."""
    network, x, t, _ = of("mean", numpy_backend)
    trace = forward(network, x)
    g = backward(network, trace, t)
    for m, code in enumerate(code_update(network, trace, t, 0.5), start=1):
        assert_allclose(code, trace.a_hat[m - 1] - 0.5 ** (4 - m) * g[m - 1], rtol=0, atol=1e-12)


def test_a_step_keeps_the_wiring(numpy_backend):
    network, x, t, _ = of("recurrent", numpy_backend)
    moved = trained(locoprop_s_closed(), network, x, t, steps=1)
    for old, new in zip(network.layers, moved.layers, strict=True):
        assert (new.wiring, new.recurrent, new.transfer) == (
            old.wiring,
            old.recurrent,
            transfer(old.transfer.name),
        )
        assert_array_equal(
            new.initial_state if new.recurrent else 0, old.initial_state if old.recurrent else 0
        )
