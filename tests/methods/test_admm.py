"""ADMM: every block is an exact minimizer, in loops and by its neighbourhood; κ = 0 never raises E."""

import naive_offline
import numpy as np
import pytest
from bridge import assert_close, every_dtype, lists, naive_layers, stacked_arrays
from numpy.testing import assert_allclose

from locoprop_ref import closed_form, initialize, matching_loss, predict, transfer
from locoprop_ref.layers import Layer
from locoprop_ref.local import LocalProblem
from locoprop_ref.methods.admm import (
    ADMM,
    activation_block,
    hidden_block,
    last_block,
    last_losses,
    multiplier_update,
)
from locoprop_ref.methods.offline import fitted

GAMMA, BETA = 3.0, 0.7
SETTINGS = {"activation_penalty": GAMMA, "pre_activation_penalty": BETA, "multiplier_step": 0.6}
LOSSES = ["squared", "hinge"]


def problem(backend, *, sizes=(3, 5, 4, 2), count=20, seed=0, dtype="float64", bias=True, last="identity"):
    """A ReLU network, examples, and labels 0 and 1."""
    rng = np.random.default_rng(seed)
    network = initialize(
        sizes,
        transfers=[*["relu"] * (len(sizes) - 2), last],
        bias=bias,
        seed=seed,
        dtype=dtype,
        xp=backend.xp,
        device=backend.device,
    )
    t = (rng.normal(size=(count, sizes[-1])) > 0).astype(float)
    return network, backend.asarray(rng.normal(size=(count, sizes[0])), dtype), backend.asarray(t, dtype)


def stepped(ours, network, x, t, steps):
    state = ours.init(network)
    for _ in range(steps):
        network, state, _ = ours.step(network, state, x, t)
    return network, state


def naive_codes(backend, state):
    return [{name: lists(backend, code) for name, code in entry.items()} for entry in state["layers"]]


# the whole step -----------------------------------------------------------------------------------


@pytest.mark.each("loss")
@pytest.mark.parametrize("loss", LOSSES)
@every_dtype
def test_a_step_is_that_of_the_loops(backend, loss, dtype):
    """The fourth step, from the same codes: least squares of condition below 1e2, squared by X̃ᵀX̃."""
    network, x, t = problem(backend, dtype=dtype)
    ours = ADMM(**SETTINGS, last_loss=loss)
    h = {"gamma": GAMMA, "beta": BETA, "kappa": 0.6, "loss": loss}
    network, state = stepped(ours, network, x, t, 3)
    numbers = naive_layers(backend, network), naive_codes(backend, state), lists(backend, x)
    layers, codes = naive_offline.admm_step(*numbers, lists(backend, t), h)
    moved, after, _ = ours.step(network, state, x, t)
    for layer, (W, b, _) in zip(moved.layers, layers, strict=True):
        assert_close(backend, layer.stacked, np.vstack([W, [b]]), dtype=dtype, units=1e4)
    for got, wanted in zip(after["layers"], codes, strict=True):
        assert list(got) == list(wanted)
        for name, values in wanted.items():
            assert_close(backend, got[name], values, dtype=dtype, units=1e4, scale=1.0)
    wanted = naive_offline.energy(layers, codes, lists(backend, x), lists(backend, t), h)
    # of a sum of 20·13 terms
    assert_close(backend, ours.energy(moved, after, x, t), wanted, dtype=dtype, units=1e4)


@pytest.mark.each("loss")
@pytest.mark.parametrize("loss", LOSSES)
def test_without_multiplier_it_never_raises_its_energy(backend, loss):
    """Block coordinate descent: to a rounding of E, over forty steps."""
    network, x, t = problem(backend)
    ours = ADMM(GAMMA, BETA, 0.0, loss)
    state, energies = ours.init(network), []
    for _ in range(40):
        network, state, _ = ours.step(network, state, x, t)
        energies.append(float(ours.energy(network, state, x, t)))
    assert max(np.diff(energies) / np.array(energies[:-1])) <= 1e-13
    assert energies[-1] < energies[0] / 2


def test_it_learns(numpy_backend):
    network, x, _ = problem(numpy_backend, sizes=(2, 12, 2), count=80)
    t = np.stack([x[:, 0] * x[:, 1] > 0, x[:, 0] * x[:, 1] <= 0], axis=1).astype(float)  # exclusive or
    for kappa in (0.0, 1.0):
        moved, _ = stepped(ADMM(10.0, 0.1, kappa), network, x, t, 60)
        right = np.argmax(predict(moved, x), axis=1) == np.argmax(t, axis=1)
        assert np.mean(right) > 0.8  # chance is a half, and so is every linear function


def test_the_multiplier_waits_for_the_warm_start(backend):
    """As many steps of descent, bit for bit, and then the multiplier moves."""
    network, x, t = problem(backend)
    warm, descent = ADMM(**SETTINGS, warm_start=2), ADMM(**{**SETTINGS, "multiplier_step": 0})
    for steps, same in ((2, True), (3, False)):
        moved, state = stepped(warm, network, x, t, steps)
        wanted, _ = stepped(descent, network, x, t, steps)
        assert state["steps"] == steps
        assert bool(backend.xp.any(state["layers"][-1]["multiplier"] != 0)) is not same
        for one, other in zip(moved.layers, wanted.layers, strict=True):
            assert backend.numpy(one.W).tolist() == backend.numpy(other.W).tolist()


def test_neither_the_network_loss_nor_the_last_transfer_takes_part(numpy_backend):
    linear, x, t = problem(numpy_backend)
    soft, *_ = problem(numpy_backend, last="softmax")
    one, other = (stepped(ADMM(**SETTINGS), network, x, t, 3)[0] for network in (linear, soft))
    assert all(np.array_equal(a.W, b.W) for a, b in zip(one.layers, other.layers, strict=True))


# every block by itself ----------------------------------------------------------------------------


def blocks(xp, network, x, t, state, loss):
    """(name of the block, E as a function of it, its minimizer) at a state in the middle of a run."""
    ours = ADMM(**SETTINGS, last_loss=loss)
    layers, codes = network.layers, state["layers"]
    inputs = [x, *(code["a"] for code in codes[:-1])]

    def energy_with(m, **changed):
        def energy(value):
            (name,) = changed
            new_layers, new_codes = list(layers), [dict(code) for code in codes]
            if name == "W":
                new_layers[m] = layers[m].with_stacked(value)
            else:
                new_codes[m][name] = value
            net = type(network)(tuple(new_layers), network.loss)
            return float(ours.energy(net, {"layers": tuple(new_codes)}, x, t))

        return energy

    for m, layer in enumerate(layers):
        yield f"W{m}", energy_with(m, W=0), fitted(layer, inputs[m], codes[m]["z"]).stacked
        p = layer.pre_activation(inputs[m])
        if m < len(layers) - 1:
            a = activation_block(layers[m + 1], codes[m]["z"], codes[m + 1]["z"], GAMMA, BETA)
            yield f"a{m}", energy_with(m, a=0), a
            yield f"z{m}", energy_with(m, z=0), hidden_block(codes[m]["a"], p, GAMMA, BETA)
        else:
            yield f"z{m}", energy_with(m, z=0), last_block(p, t, codes[m]["multiplier"], BETA, loss)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("seed", range(3))
def test_every_block_is_an_exact_minimizer(numpy_backend, loss, seed):
    """Along random directions, near and far, E is never lower; and flat to second order at the minimum.

    Near a minimum of curvature about 10 a step h costs about 5h², and a slope σ would show as σh: with h =
    1e-4 any slope above 1e-3 is seen, where a typical one away from the minimum is 1.
    """
    network, x, t = problem(numpy_backend, seed=seed)
    network, state = stepped(ADMM(**SETTINGS, last_loss=loss), network, x, t, 3)
    rng = np.random.default_rng(seed)
    for name, energy, best in blocks(np, network, x, t, state, loss):
        lowest = energy(best)
        for h in (1e-4, 1e-2, 1.0, 30.0):
            for _ in range(6):
                direction = rng.normal(size=best.shape)
                changes = [energy(best + sign * h * direction) - lowest for sign in (1, -1)]
                # a rounding of E, which is a sum of positive terms and ⟨λ, z⟩ of its size
                assert min(changes) >= -1e-13 * abs(lowest), name
        assert energy(best + 1e-3 * rng.normal(size=best.shape)) > lowest


@pytest.mark.parametrize("loss", LOSSES)
def test_single_numbers_are_the_minima_of_a_grid(numpy_backend, loss):
    """To half a cell of 1e-3; entry by entry, as both blocks of z are."""
    rng, grid = np.random.default_rng(1), np.linspace(-6, 6, 12001)
    a, p, lam = (rng.normal(size=(1, 400)) for _ in range(3))
    t = (rng.normal(size=(1, 400)) > 0).astype(float)
    z = grid[:, None]
    hidden = GAMMA * (a - np.maximum(z, 0)) ** 2 + BETA * (z - p) ** 2
    found = hidden_block(a, p, GAMMA, BETA)
    costs = GAMMA * (a - np.maximum(found, 0)) ** 2 + BETA * (found - p) ** 2
    assert (costs <= hidden.min(axis=0) + 1e-12).all()
    assert_allclose(costs[0], hidden.min(axis=0), rtol=0, atol=(GAMMA + BETA) * 0.5e-3**2)
    last = last_losses(z, np.broadcast_to(t, (len(z), 400)), loss) + lam * z + BETA / 2 * (z - p) ** 2
    found = last_block(p, t, lam, BETA, loss)
    assert_allclose(found[0], grid[np.argmin(last, axis=0)], rtol=0, atol=0.51e-3)


def test_the_kinks_of_the_last_block(backend):
    """Hinge, β = 2, λ = 0: a number beyond its label's side stays, others move by ½ and stop at the kink."""
    p = backend.asarray([[1.5, 0.8, 0.2, -3.0, -1.5, 0.2, 0.8, 3.0]])
    t = backend.asarray([[1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]])
    found = last_block(p, t, 0 * p, 2.0, "hinge")
    assert_allclose(backend.numpy(found), [[1.5, 1.0, 0.7, -2.5, -1.5, 0.0, 0.3, 2.5]], rtol=0, atol=1e-15)


def test_the_multiplier_makes_the_last_block_stationary(backend):
    """κ = 1: after its update λ is minus the derivative of the loss; to a rounding."""
    network, x, t = problem(backend)
    _, state = stepped(ADMM(GAMMA, BETA, 1.0), network, x, t, 3)
    z, multiplier = state["layers"][-1]["z"], state["layers"][-1]["multiplier"]
    assert_allclose(backend.numpy(z - t), -backend.numpy(multiplier), rtol=0, atol=1e-13)
    assert_close(backend, multiplier_update(z, t, 0 * t, 0.5), backend.numpy(z + 0.5 * t), dtype="float64")


# what the blocks are in LocoProp ------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
def test_the_weight_block_is_the_closed_form_without_regularizer(backend, bias):
    """F14, at full rank and not: X̃⁺Z = W̃₀ + X̃⁺(Z − X̃W̃₀); to 1e4 roundings, the condition of X̃ᵀX̃."""
    rng = np.random.default_rng(0)
    b = backend.asarray(rng.normal(size=3)) if bias else None
    layer = Layer(backend.asarray(rng.normal(size=(4, 3))), b, transfer("relu"))
    x, z = rng.normal(size=(9, 4)), backend.asarray(rng.normal(size=(9, 3)))
    for rank, inputs in ((4, x), (2, x * [1, 0, 1, 0])):
        rows = backend.asarray(inputs)
        local = LocalProblem(layer.augment(rows), z, transfer("identity"), layer.stacked)
        W = fitted(layer, rows, z).stacked
        assert_close(backend, W, backend.numpy(closed_form(local)), dtype="float64", units=1e4)
        wide = np.hstack([inputs, np.ones((9, 1))]) if bias else inputs
        least = np.linalg.lstsq(wide, backend.numpy(z), rcond=None)[0]
        off = np.abs(backend.numpy(W) - least).max()
        assert off < 1e-12 if rank == 4 else off > 0.1


def test_the_activation_block_is_the_closed_form_transposed(backend):
    """With inputs W⁺ᵀ, targets (z⁺ − b⁺)ᵀ, the anchor relu(z)ᵀ and η = β/γ; to 100 roundings."""
    network, x, t = problem(backend)
    _, state = stepped(ADMM(**SETTINGS), network, x, t, 2)
    z, above, upper = state["layers"][0]["z"], state["layers"][1]["z"], network.layers[1]
    start = backend.xp.maximum(z, 0 * z)
    local = LocalProblem(upper.W.T, (above - upper.b).T, transfer("identity"), start.T, BETA / GAMMA)
    wanted = backend.numpy(closed_form(local)).T
    assert_close(backend, activation_block(upper, z, above, GAMMA, BETA), wanted, dtype="float64")


def test_the_hidden_block_is_that_of_the_matching_loss_where_nothing_is_negative(numpy_backend):
    """For a, p ≥ 0: γ D_F(z, a) + (β/2)(z − p)² on a grid; for negative numbers the two differ."""
    rng, grid = np.random.default_rng(2), np.linspace(-4, 4, 8001)
    a, p = np.abs(rng.normal(size=(2, 300)))
    for sign, equal in ((1, True), (-1, False)):
        found = hidden_block(a[None, :], sign * p[None, :], GAMMA, BETA)[0]
        z = np.broadcast_to(grid[:, None], (len(grid), 300)).copy()
        d = matching_loss(transfer("relu"), z, np.broadcast_to(a, z.shape).copy())
        wanted = grid[np.argmin(GAMMA * d + BETA / 2 * (z - sign * p) ** 2, axis=0)]
        assert bool(np.abs(found - wanted).max() < 0.51e-3) is equal


# what is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "sentence"),
    [
        (initialize((3, 4, 2), transfers="tanh"), "relu in its hidden layers for admm, got 'tanh'"),
        (
            initialize("4x4x1-c2x3/2-2", transfers=("relu", "identity")),
            "dense layers alone for admm, got one with positions",
        ),
    ],
    ids=["tanh", "convolution"],
)
def test_other_networks_are_refused_in_one_sentence(network, sentence):
    with pytest.raises(ValueError, match=f"^network must have {sentence}$"):
        ADMM().init(network)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"activation_penalty": 0}, "activation_penalty must be a positive number, got 0"),
        ({"pre_activation_penalty": -1}, "pre_activation_penalty must be a positive number, got -1"),
        ({"multiplier_step": -1}, "multiplier_step must be a finite number of at least 0, got -1"),
        ({"last_loss": "hinges"}, r"last_loss must be one of squared, hinge, got 'hinges' \(did you mean"),
        ({"warm_start": -1}, "warm_start must be an integer of at least 0, got -1"),
    ],
)
def test_bad_settings_are_told_in_one_sentence(settings, sentence):
    with pytest.raises(ValueError, match="^" + sentence):
        ADMM(**settings)


def test_no_bias(backend):
    network, x, t = problem(backend, bias=False)
    moved, _ = stepped(ADMM(**SETTINGS), network, x, t, 2)
    assert all(layer.b is None for layer in moved.layers)
    assert not np.array_equal(stacked_arrays(backend, moved)[0], stacked_arrays(backend, network)[0])
