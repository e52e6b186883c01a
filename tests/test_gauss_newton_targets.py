"""Gauss–Newton targets against explicit Jacobians; the slider's ends; what holds of target propagation."""

from dataclasses import replace

import naive_jacobians
import numpy as np
import pytest
from bridge import CASES, assert_close, draw, every_dtype, lists, naive_layers, some_cases
from numpy.testing import assert_allclose

from locoprop_ref import ClosedForm, GaussNewtonTargets, LocoProp, Targets, initialize, transfer
from locoprop_ref.gauss_newton_targets import as_examples, as_rows
from locoprop_ref.network import backward, forward, pull_down

IDENTITY, TANH = CASES[0], ("tanh", "identity", "squared_error")
POSITIONS = {"convolution": "4x4x1-c2x3/2-m2-2", "recurrent": "3x2-r3-2"}


def gentle(backend, case=TANH, **how):
    """A network with weights of variance 1/d_in and small biases, in which few units rest at ±1."""
    network, x, t = draw(backend, case, **how)
    layers = [replace(layer, W=layer.W / layer.W.shape[0] ** 0.5, b=layer.b / 4) for layer in network.layers]
    return replace(network, layers=tuple(layers)), x, t


def squared(layer):
    return transfer("identity")


def displacements(network, x, t, step, tau):
    """d of every layer, read from the targets of the squared local loss, y* = â − d."""
    trace, rule = forward(network, x), GaussNewtonTargets(step, tau)
    given, state = rule(network, trace, t, squared, rule.init(network))
    assert state == {}
    return [a_hat - one.y_target for one, a_hat in zip(given, trace.a_hat, strict=True)]


def error_of(network, x, t):
    return t.shape[0] * network.loss.g(forward(network, x).a_hat[-1], t, network.layers[-1].transfer)


@some_cases
@pytest.mark.parametrize("tau", [1.0, 0.3])
def test_displacements_agree_with_explicit_jacobians(backend, case, tau):
    """Products of three layers, and a system with a condition below 1e3: 1e5 roundings of r and â."""
    network, x, t = draw(backend, case)
    layers, rows = naive_layers(backend, network), lists(backend, x)
    errors = lists(backend, error_of(network, x, t))
    wanted = naive_jacobians.displacements(layers, rows, errors, 2.0, tau)
    trace = forward(network, x)
    for d, w, a_hat in zip(displacements(network, x, t, 2.0, tau), wanted, trace.a_hat, strict=True):
        scale = float(np.max(np.abs(backend.numpy(a_hat))))
        assert_close(backend, d, w, dtype="float64", units=1e5, scale=scale)


@every_dtype
def test_tau_0_takes_the_pseudo_inverse(backend, dtype):
    """Smooth layers of full rank; the condition of J is below 100 here, and enters twice."""
    network, x, t = draw(backend, TANH, sizes=(3, 4, 5, 3), dtype=dtype, seed=1)
    layers, rows = naive_layers(backend, network), lists(backend, x)
    wanted = naive_jacobians.displacements(layers, rows, lists(backend, error_of(network, x, t)), 1.0, 0)
    for d, w in zip(displacements(network, x, t, 1.0, 0), wanted, strict=True):
        assert_close(backend, d, w, dtype=dtype, units=1e5, scale=10.0)


@pytest.mark.each("dtype")
@every_dtype
def test_tau_0_takes_a_jacobian_that_has_vanished_as_zero(backend, dtype):
    """The inverse of the smallest numbers overflows; tanh′ of a saturated unit is as small."""
    limits = np.finfo(dtype)
    sizes = np.asarray(
        [0, limits.smallest_subnormal, limits.smallest_normal, limits.smallest_normal / limits.eps**3]
    )
    J = backend.asarray(sizes[:, None, None] * np.eye(2, 3), dtype=dtype)
    d = backend.numpy(
        GaussNewtonTargets(tau=0).displacement(J, backend.asarray(np.ones((4, 2)), dtype=dtype))
    )
    wanted = np.zeros((4, 3))
    wanted[3, :2] = 1 / sizes[3]
    assert_allclose(d, wanted, rtol=4 * limits.eps)  # a division and the rotations of a diagonal matrix


@pytest.mark.parametrize("positions", ["dense", *POSITIONS])
@pytest.mark.parametrize("local_loss", ["squared", "matching"])
def test_tau_1_is_the_direction_of_locoprop(backend, positions, local_loss):
    """d = γBg to the roundings of the sum over outputs; for M the target is f(â − d)."""
    if positions == "dense":
        network, x, t = draw(backend, TANH)
    else:
        network = initialize(
            POSITIONS[positions], transfers="tanh", xp=backend.xp, device=backend.device, seed=2
        )
        rng = np.random.default_rng(0)
        x, t = (backend.asarray(rng.normal(size=(4, n))) for n in (network.layers[0].inputs, 2))
    trace, B = forward(network, x), x.shape[0]
    local = squared if local_loss == "squared" else lambda layer: layer.transfer
    given, _ = GaussNewtonTargets(0.5, 1)(network, trace, t, local, {})
    for one, layer, a_hat, g in zip(
        given, network.layers, trace.a_hat, backward(network, trace, t), strict=True
    ):
        wanted = backend.numpy(local(layer).f(a_hat - 0.5 * B * g))
        assert_close(backend, one.y_target, wanted, dtype="float64", units=1e3, scale=1.0)


@pytest.mark.parametrize("tau", [0.4, 0.05])
def test_a_convolution_solves_the_normal_equations(backend, tau):
    """((1−τ)JᵀJ + τI)d = γJᵀr, with Jd by central differences of the forward pass: their error is 1e-9."""
    network = initialize("4x4x1-c2x3/2-4-2", transfers="tanh", xp=backend.xp, device=backend.device, seed=2)
    rng = np.random.default_rng(0)
    x, t = backend.asarray(rng.normal(size=(4, 16))), backend.asarray(rng.normal(size=(4, 2)))
    trace, h = forward(network, x), 1e-5
    right = pull_down(network, trace, error_of(network, x, t))
    for m, d in enumerate(displacements(network, x, t, 1.0, tau)):

        def output(a_hat, m=m):
            for layer, above in zip(network.layers[m:], (*network.layers[m + 1 :], None), strict=True):
                if above is None:
                    return a_hat
                a_hat = above.pre_activation(above.rows(layer.transfer.f(a_hat)))

        moved = (output(trace.a_hat[m] + h * d) - output(trace.a_hat[m] - h * d)) / (2 * h)
        left = (1 - tau) * pull_down(network, trace, moved)[m] + tau * d
        assert_allclose(backend.numpy(left), backend.numpy(right[m]), rtol=0, atol=1e-8)


def test_levenberg_and_marquardts_damping_is_another_spelling_of_tau(numpy_backend):
    """γ(1+λ)(JJᵀ + λI)⁻¹ with τ = λ/(1+λ), at both ends of the slider: λ/σ² of the least σ of J."""
    network, x, t = gentle(numpy_backend, sizes=(3, 5, 4, 3))
    g = backward(network, forward(network, x), t)
    for lam, tau in ((1e8, 1.0), (1e-8, 0.0)):
        near, end = (displacements(network, x, t, 2.0, value) for value in (lam / (1 + lam), tau))
        for a, b in zip(near, end, strict=True):
            assert_allclose(a, b, rtol=0, atol=1e-4 * np.abs(b).max())
    for d, g_m in zip(displacements(network, x, t, 2.0, 1e8 / (1 + 1e8)), g, strict=True):
        assert_allclose(d, 2.0 * 5 * g_m, rtol=0, atol=1e-6 * np.abs(d).max())


# E3: Gauss–Newton steps of a layer's weights -------------------------------------------------------


def far_from_gauss_newton(backend, sizes, batch, m=0):
    """The relative distance between a layer's step and the minimum-norm Gauss–Newton step of its weights."""
    network, x, t = gentle(backend, sizes=sizes, batch=batch, seed=6)
    ours = LocoProp("squared", GaussNewtonTargets(1.0, 0.0), solver=ClosedForm())
    moved, _, _ = ours.step(network, ours.init(network), x, t)
    trace, layers = forward(network, x), naive_layers(backend, network)
    J = [naive_jacobians.jacobians(layers, row)[m] for row in lists(backend, x)]
    x_m = network.layers[m].augment(trace.x[m])
    wanted = naive_jacobians.layer_step(x_m.tolist(), J, lists(backend, error_of(network, x, t)), 1.0)
    change = moved.layers[m].stacked - network.layers[m].stacked
    return np.abs(change - wanted).max() / np.abs(wanted).max()


def test_s_without_regularizer_takes_the_gauss_newton_step_of_a_layer(numpy_backend):
    """E3: d_m ≤ d_M and B ≤ d̃; pseudo-inverses with conditions below 1e3 each, so 1e-9."""
    assert far_from_gauss_newton(numpy_backend, (5, 3, 4), batch=6) < 1e-9
    assert far_from_gauss_newton(numpy_backend, (5, 3, 4), batch=4, m=1) < 1e-9
    assert far_from_gauss_newton(numpy_backend, (5, 6, 4), batch=1) < 1e-9  # a wide J with one example


@pytest.mark.parametrize(("sizes", "batch"), [((5, 3, 4), 7), ((5, 6, 4), 2)], ids=["B = d+1", "wide J"])
def test_beyond_its_conditions_it_is_not_gauss_newton(numpy_backend, sizes, batch):
    """False: "the Gauss–Newton target gives Gauss–Newton in minibatches"; here it is off by more than 0.1."""
    assert far_from_gauss_newton(numpy_backend, sizes, batch) > 0.1


# target propagation -------------------------------------------------------------------------------


def propagated(backend, network, x, t, step):
    """Displacements of target propagation with exact inverses, started by γr at the last pre-activation."""
    trace, layers = forward(network, x), naive_layers(backend, network)
    moved = naive_jacobians.linear_inverse_targets(layers, trace.a_hat[-1] - step * error_of(network, x, t))
    return [a_hat - a for a_hat, a in zip(trace.a_hat, moved, strict=True)]


def orthogonal(network):
    layers = [replace(layer, W=np.linalg.qr(layer.W)[0]) for layer in network.layers]
    return replace(network, layers=tuple(layers))


def cosine(a, b):
    return float(np.sum(a * b) / np.linalg.norm(a) / np.linalg.norm(b))


def test_in_linear_networks_target_propagation_is_gauss_newton(numpy_backend):
    """F1 and, with orthogonal weights, F2: then it is LocoProp's direction too. Conditions below 100."""
    linear = ("identity", "identity", "squared_error")
    network, x, t = draw(numpy_backend, linear, sizes=(4, 4, 4, 4), seed=2)
    for net in (network, orthogonal(network)):
        gauss_newton = displacements(net, x, t, 0.7, 0.0)
        for d, wanted in zip(gauss_newton, propagated(numpy_backend, net, x, t, 0.7), strict=True):
            assert_allclose(d, wanted, rtol=0, atol=1e-11 * np.abs(wanted).max())
    net = orthogonal(network)
    g = backward(net, forward(net, x), t)
    for d, g_m in zip(displacements(net, x, t, 0.7, 0.0), g, strict=True):
        assert_allclose(d, 0.7 * 5 * g_m, rtol=0, atol=1e-13 * np.abs(d).max())
    assert (
        cosine(displacements(network, x, t, 0.7, 0.0)[0], backward(network, forward(network, x), t)[0]) < 0.9
    )


def test_target_propagation_is_gauss_newton_only_to_first_order(numpy_backend):
    """False: "TP is Gauss–Newton". Their distance falls with γ, tenfold for a tenth: slope 1 within 0.1."""
    network, x, t = gentle(numpy_backend, sizes=(4, 4, 4, 4), seed=2)
    network = orthogonal(network)
    off = []
    for step in (1e-3, 1e-4, 1e-5):
        pair = displacements(network, x, t, step, 0.0)[0], propagated(numpy_backend, network, x, t, step)[0]
        off.append(np.abs(pair[0] - pair[1]).max() / np.abs(pair[0]).max())
    assert off[0] > 1e-5
    assert_allclose(np.diff(np.log10(off)), -1, atol=0.1)


def test_target_propagation_with_exact_inverses_is_not_backprop(numpy_backend):
    """False: "TP with exact inverses is BackProp". In the median of 20 networks the cosine is below 0.1."""
    found = []
    for seed in range(20):
        network, x, t = gentle(numpy_backend, sizes=(4, 4, 4, 4), seed=seed)
        g = backward(network, forward(network, x), t)
        found.append(cosine(propagated(numpy_backend, network, x, t, 1e-9)[0], g[0]))
    assert np.median(found) < 0.1


# rows and settings --------------------------------------------------------------------------------


def test_rows_of_positions_come_back_from_examples(backend):
    rows = backend.asarray(np.arange(24.0).reshape(6, 4))
    wanted = np.array(
        [[0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19], [4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23]]
    )
    assert backend.numpy(as_examples(rows, 3)).tolist() == wanted.tolist()
    assert backend.numpy(as_rows(as_examples(rows, 3), 3)).tolist() == backend.numpy(rows).tolist()


def test_settings():
    assert isinstance(GaussNewtonTargets(), Targets)
    assert GaussNewtonTargets(np.float32(2), 0).step == 2.0
    for settings, sentence in [
        ({"step": -1}, "step must be a positive number, got -1"),
        ({"tau": 1.5}, "tau must be at least 0 and at most 1, got 1.5"),
        ({"tau": -0.1}, "tau must be at least 0 and at most 1, got -0.1"),
    ]:
        with pytest.raises(ValueError, match="^" + sentence):
            GaussNewtonTargets(**settings)
