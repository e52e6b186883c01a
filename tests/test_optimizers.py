"""Optimizers against loops that update one number at a time, and against PyTorch and optax."""

import naive
import numpy as np
import pytest
from bridge import assert_close, every_dtype, lists
from numpy.testing import assert_allclose, assert_array_equal

from locoprop_ref.optimizers import OPTIMIZERS, optimizer

# name, dialect, settings of the package, the same settings for the loops (all of them, none implied)
RULES = [
    ("sgd", "tf1", {}, {}),
    ("momentum", "tf1", {}, {"momentum": 0.9}),
    ("momentum", "tf1", {"momentum": 0.5}, {"momentum": 0.5}),
    ("momentum", "tf1", {"momentum": 0.0}, {"momentum": 0.0}),
    ("nesterov", "tf1", {}, {"momentum": 0.9}),
    ("nesterov", "tf1", {"momentum": 0.99}, {"momentum": 0.99}),
    ("adagrad", "tf1", {}, {"initial": 0.1, "epsilon": 0.0}),
    ("adagrad", "tf1", {"initial_accumulator": 1e-5}, {"initial": 1e-5, "epsilon": 0.0}),
    ("adagrad", "torch", {}, {"initial": 0.0, "epsilon": 1e-10}),
    ("adagrad", "torch", {"initial_accumulator": 0.2, "epsilon": 0.5}, {"initial": 0.2, "epsilon": 0.5}),
    ("rmsprop", "tf1", {}, {"decay": 0.9, "momentum": 0.0, "epsilon": 1e-5}),
    (
        "rmsprop",
        "tf1",
        {"decay": 0.8, "momentum": 0.999, "epsilon": 0.1},
        {"decay": 0.8, "momentum": 0.999, "epsilon": 0.1},
    ),
    ("rmsprop", "torch", {}, {"decay": 0.9, "momentum": 0.0, "epsilon": 1e-5}),
    (
        "rmsprop",
        "torch",
        {"decay": 0.8, "momentum": 0.999, "epsilon": 0.1},
        {"decay": 0.8, "momentum": 0.999, "epsilon": 0.1},
    ),
    ("adam", "tf1", {}, {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}),
    (
        "adam",
        "tf1",
        {"beta1": 0.5, "beta2": 0.9, "epsilon": 0.1},
        {"beta1": 0.5, "beta2": 0.9, "epsilon": 0.1},
    ),
    ("adam", "torch", {}, {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}),
    (
        "adam",
        "torch",
        {"beta1": 0.5, "beta2": 0.9, "epsilon": 0.1},
        {"beta1": 0.5, "beta2": 0.9, "epsilon": 0.1},
    ),
]
RATES = [0.1, 0.0, 0.3, 0.05, 0.2]  # a schedule that starts, pauses, and changes: where the rate sits matters
every_rule = pytest.mark.parametrize("name, dialect, settings, h", RULES)


def build(name, dialect, settings):
    plain = name in ("sgd", "momentum", "nesterov")
    return optimizer(name, **settings, **({} if plain else {"dialect": dialect}))


def gradients_of_any_size(shape=(3, 2), seed=0):
    """From 1e-4 to 100, both signs: ε is seen at the small end, cancellation at none."""
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape) * 10.0 ** rng.uniform(-4, 2, shape) for _ in RATES]


@every_rule
@every_dtype
def test_steps_agree_with_loops(backend, name, dialect, settings, h, dtype):
    rule, gradients = build(name, dialect, settings), gradients_of_any_size()
    W = backend.asarray(np.ones((3, 2)), dtype)
    wanted, states, state = lists(backend, W), None, rule.init(W)
    for gradient, rate in zip(gradients, RATES, strict=True):
        g = backend.asarray(gradient, dtype)
        change, state = rule.update(g, state, rate)
        moved, states = naive.optimize(name, dialect, wanted, lists(backend, g), states, rate, h)
        # the change itself, from zero: not hidden below the weight
        alone = np.array(wanted) - np.array(moved)
        assert_close(backend, W - change, moved, dtype=dtype, scale=float(np.abs(alone).max()))
        W, wanted = W - change, moved


@every_rule
def test_the_change_agrees_number_by_number(name, dialect, settings, h):
    """Relative to each number, in float64, so that small ones count: C = 20 roundings a step."""
    rule, gradients = build(name, dialect, settings), gradients_of_any_size()
    state, states = rule.init(np.zeros((3, 2))), None
    for gradient, rate in zip(gradients, RATES, strict=True):
        change, state = rule.update(gradient, state, rate)
        moved, states = naive.optimize(
            name, dialect, np.zeros((3, 2)).tolist(), gradient.tolist(), states, rate, h
        )
        # momentum adds numbers of both signs: relative to the largest of the buffer's history
        assert_allclose(-change, moved, rtol=1e-12, atol=1e-15)


@every_rule
@every_dtype
def test_updates_are_pure_and_states_are_arrays_and_numbers(backend, name, dialect, settings, h, dtype):
    rule = build(name, dialect, settings)
    g, W = backend.asarray(gradients_of_any_size()[0], dtype), backend.asarray(np.ones((3, 2)), dtype)
    start = rule.init(W)
    _, state = rule.update(g, start, 0.1)
    snapshot = {key: np.copy(backend.numpy(v)) if hasattr(v, "dtype") else v for key, v in state.items()}
    first, after = rule.update(g, state, 0.1)
    second, _ = rule.update(g, state, 0.1)
    assert_array_equal(backend.numpy(first), backend.numpy(second))
    for key, value in state.items():
        assert_array_equal(backend.numpy(value) if hasattr(value, "dtype") else value, snapshot[key])
    assert list(after) == list(start)
    for value in after.values():
        assert isinstance(value, int) or (
            type(value) is type(W) and value.shape == W.shape and value.dtype == W.dtype
        )


@every_rule
def test_a_moving_rate_is_not_a_moving_state(name, dialect, settings, h):
    """Rate 0 moves no weight at the first step, but the mean squares go on: later steps differ."""
    rule, (g, other, *_) = build(name, dialect, settings), gradients_of_any_size()
    change, state = rule.update(g, rule.init(g), 0.0)
    assert_array_equal(change, 0)
    if name != "sgd" and settings.get("momentum") != 0.0:
        warm, cold = rule.update(other, state, 0.1)[0], rule.update(other, rule.init(g), 0.1)[0]
        assert np.abs(warm - cold).max() > 1e-6 * np.abs(cold).max()


def test_where_the_dialects_part_by_hand():
    """First steps with g = 3, rate 0.1, worked out on paper."""
    g, state = np.array([3.0]), np.array([0.0])
    tf = optimizer("rmsprop", dialect="tf1", decay=0.5, epsilon=4.0)
    assert_allclose(
        tf.update(g, tf.init(state), 0.1)[0], 0.1 * 3 / np.sqrt(0.5 * 1 + 0.5 * 9 + 4), rtol=1e-15
    )
    torch = optimizer("rmsprop", dialect="torch", decay=0.5, epsilon=4.0)
    assert_allclose(torch.update(g, torch.init(state), 0.1)[0], 0.1 * 3 / (np.sqrt(4.5) + 4), rtol=1e-15)
    tf = optimizer("adam", dialect="tf1", epsilon=1.0)
    change = 0.1 * np.sqrt(0.001) / 0.1 * 0.3 / (np.sqrt(0.009) + 1)
    assert_allclose(tf.update(g, tf.init(state), 0.1)[0], change, rtol=1e-13)
    torch = optimizer("adam", dialect="torch", epsilon=1.0)
    assert_allclose(torch.update(g, torch.init(state), 0.1)[0], 0.1 * 3 / (3 + 1), rtol=1e-13)
    tf = optimizer("adagrad", dialect="tf1")
    assert_allclose(tf.update(g, tf.init(state), 0.1)[0], 0.3 / np.sqrt(9.1), rtol=1e-15)


# other libraries ----------------------------------------------------------------------------------


@pytest.mark.full
@pytest.mark.parametrize(
    "name, dialect, settings, h",
    [r for r in RULES if r[1] == "torch" or r[0] in ("sgd", "momentum", "nesterov")],
)
def test_torch_dialect_is_what_pytorch_does(name, dialect, settings, h):
    """torch.optim is written for speed, not for our order of operations: 1e-12 of the largest weight."""
    torch = pytest.importorskip("torch")
    make = {
        "sgd": lambda p: torch.optim.SGD([p]),
        "momentum": lambda p: torch.optim.SGD([p], momentum=h["momentum"]),
        "nesterov": lambda p: torch.optim.SGD([p], momentum=h["momentum"], nesterov=True),
        "adagrad": lambda p: torch.optim.Adagrad(
            [p], initial_accumulator_value=h["initial"], eps=h["epsilon"]
        ),
        "rmsprop": lambda p: torch.optim.RMSprop(
            [p], alpha=h["decay"], momentum=h["momentum"], eps=h["epsilon"]
        ),
        "adam": lambda p: torch.optim.Adam([p], betas=(h["beta1"], h["beta2"]), eps=h["epsilon"]),
    }[name]  # fmt: skip
    parameter = torch.nn.Parameter(torch.ones(3, 2, dtype=torch.float64))
    theirs, rule = make(parameter), build(name, "torch", settings)
    W, state = np.ones((3, 2)), rule.init(np.ones((3, 2)))
    for gradient, rate in zip(gradients_of_any_size(), RATES, strict=True):
        theirs.param_groups[0]["lr"] = rate
        parameter.grad = torch.tensor(gradient)
        theirs.step()
        change, state = rule.update(gradient, state, rate)
        W = W - change
        assert_allclose(W, parameter.detach().numpy(), rtol=0, atol=1e-12 * np.abs(W).max())


@pytest.mark.full
@pytest.mark.parametrize("rule", ["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam"])
def test_optax_with_the_settings_of_tensorflow_1(rule):
    """optax at initial_scale=1 is TensorFlow 1's RMSProp, at ε = 0 its AdaGrad; its Adam is PyTorch's.

    The rate changes from step to step: only then does it show whether it is inside the buffer or outside.
    """
    optax = pytest.importorskip("optax")
    jax = pytest.importorskip("jax")
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    rates = jax.numpy.asarray(RATES)

    def rate(count):
        return rates[count]

    make, ours = {
        "sgd": (lambda: optax.sgd(rate), optimizer("sgd")),
        "momentum": (lambda: optax.sgd(rate, momentum=0.9), optimizer("momentum")),
        "nesterov": (lambda: optax.sgd(rate, momentum=0.9, nesterov=True), optimizer("nesterov")),
        "adagrad": (lambda: optax.adagrad(rate, 0.1, eps=0.0), optimizer("adagrad")),
        "rmsprop": (
            lambda: optax.rmsprop(rate, decay=0.9, eps=1e-5, initial_scale=1.0, momentum=0.999),
            optimizer("rmsprop", momentum=0.999),
        ),
        "adam": (lambda: optax.adam(rate, eps=1e-8), optimizer("adam", dialect="torch")),
    }[rule]
    try:
        theirs = make()
        W, state = np.ones((3, 2)), ours.init(np.ones((3, 2)))
        P = jax.numpy.ones((3, 2))
        their_state = theirs.init(P)
        for gradient, r in zip(gradients_of_any_size(), RATES, strict=True):
            updates, their_state = theirs.update(jax.numpy.asarray(gradient), their_state, P)
            P = optax.apply_updates(P, updates)
            change, state = ours.update(gradient, state, r)
            W = W - change
            assert_allclose(W, np.asarray(P), rtol=0, atol=1e-12 * np.abs(W).max())
    finally:
        jax.config.update("jax_enable_x64", before)


# bad inputs ---------------------------------------------------------------------------------------

BAD = {
    "name": (("rmsprp", {}), ValueError, r"optimizer must be one of sgd, .* \(did you mean 'rmsprop'\?\)"),
    "name none": ((None, {}), ValueError, "optimizer must be one of sgd, .*, got None"),
    "dialect": (
        ("adam", {"dialect": "tf"}),
        ValueError,
        r"dialect must be one of tf1, torch, got 'tf' \(did you mean 'tf1'\?\)",
    ),
    "dialect rmsprop": (("rmsprop", {"dialect": "pytorch"}), ValueError, "dialect must be .*'torch'"),
    "dialect adagrad": (
        ("adagrad", {"dialect": None}),
        ValueError,
        "dialect must be one of tf1, torch, got None",
    ),
    "decay 1": (("rmsprop", {"decay": 1.0}), ValueError, "decay must be at least 0 and below 1, got 1.0"),
    "decay nan": (("rmsprop", {"decay": np.nan}), ValueError, "decay must be a number, got nan"),
    "momentum": (
        ("rmsprop", {"momentum": -0.1}),
        ValueError,
        "momentum must be at least 0 and below 1, got -0.1",
    ),
    "momentum 1": (
        ("momentum", {"momentum": 1}),
        ValueError,
        "momentum must be at least 0 and below 1, got 1",
    ),
    "nesterov": (("nesterov", {"momentum": "0.9"}), TypeError, "momentum must be a number, got '0.9'"),
    "epsilon": (("rmsprop", {"epsilon": 0.0}), ValueError, "epsilon must be a positive number, got 0.0"),
    "epsilon inf": (("adam", {"epsilon": np.inf}), ValueError, "epsilon must be a positive number, got inf"),
    "epsilon adagrad": (
        ("adagrad", {"epsilon": -1}),
        ValueError,
        "epsilon must be a finite number of at least 0, got -1",
    ),
    "beta1": (("adam", {"beta1": 1.5}), ValueError, "beta1 must be at least 0 and below 1, got 1.5"),
    "beta2": (("adam", {"beta2": True}), TypeError, "beta2 must be a number, got True"),
    "accumulator": (
        ("adagrad", {"initial_accumulator": -1.0}),
        ValueError,
        "initial_accumulator must be a finite number of at least 0",
    ),
    "unknown": (
        ("rmsprop", {"beta1": 0.9}),
        TypeError,
        "optimizer 'rmsprop' takes dialect, decay, momentum, epsilon, got 'beta1'",
    ),
    "unknown sgd": (
        ("sgd", {"momentum": 0.9}),
        TypeError,
        "optimizer 'sgd' takes no hyper-parameter, got 'momentum'",
    ),
    "nesterov flag": (
        ("momentum", {"nesterov": True}),
        TypeError,
        "optimizer 'momentum' takes momentum, got 'nesterov'",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_told_in_one_sentence(case):
    (name, settings), error, sentence = BAD[case]
    with pytest.raises(error, match="^" + sentence):
        optimizer(name, **settings)


def test_every_name_opens():
    for name in OPTIMIZERS:
        rule = optimizer(name)
        change, _ = rule.update(np.ones(2), rule.init(np.ones(2)), 0.1)
        assert (change > 0).all()
