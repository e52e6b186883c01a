"""The contract of `methods/base.py`, the same tests for every method of the registry.

A method that is new to the registry is tested with its default settings; `ENTRIES` and `GENTLE` may name
better ones. Nothing here depends on the names inside a method's state. Methods that see all examples at
once have their own tests of steps, in `test_offline.py`: they take no other batch, and `init` makes no
arrays.
"""

import inspect
from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest
from bridge import CASES, draw, every_dtype, leaves, naive_layers, snapshot
from numpy.testing import assert_array_equal
from threadpoolctl import threadpool_limits

from locoprop_ref import (
    CodeTargets,
    Descend,
    InverseTargets,
    Network,
    initialize,
    method,
    network_loss,
    optimizer,
)
from locoprop_ref import parallel as parallel_module
from locoprop_ref.methods.base import Method
from locoprop_ref.methods.registry import METHODS, OFFLINE
from locoprop_ref.training.checkpoint import Checkpoint, form, load_checkpoint, save_checkpoint

TANH, SIGMOID, SOFTMAX = CASES[3], CASES[9 + 3], CASES[18 + 3]
MATCHING = ("tanh", "identity", "squared_error")

STEPS = Descend(optimizer("rmsprop", momentum=0.9), local_lr=1e-3, num_local_steps=3)
INTERVALS = {"factor_interval": 2, "inverse_interval": 3}
# For every method the settings to test it with: those with the most in their states, and the defaults.
ENTRIES = {
    "backprop": [{}, {"optimizer_name": "adam", "learning_rate": 0.01}],
    "locoprop-s": [{"local": STEPS}],
    "locoprop-m": [{"local": STEPS}, {"local": STEPS, "target_order": "gauss-seidel"}],
    "kfac": [
        {"kl_clip": 1e-4, "momentum": 0.9, **INTERVALS},
        {"fisher": "empirical", "kl_clip": 1e-4, "inverse_interval": 1},
    ],
    "foof": [{}, {"momentum": 0.5, **INTERVALS}],
    "shampoo": [{}, {"momentum": 0.9, "statistics": "average", "grafting": "rmsprop", **INTERVALS}],
}
ON_BATCHES = [name for name in METHODS if name not in OFFLINE]
PAIRS = [(name, settings) for name in ON_BATCHES for settings in ENTRIES.get(name, [{}])]
IDS = [f"{name}-{i}" for name in ON_BATCHES for i, _ in enumerate(ENTRIES.get(name, [{}]))]


NEEDS_ELEMENTWISE = {"locoprop-m-exact"}  # refuses softmax, see test_methods.py
NEEDS_MATCHING = {"am", "tp", "dtp"}  # their last layer learns on the network loss, see test_relatives.py


def squared(name):
    """The case of the squared error that a method can be trained with."""
    return MATCHING if name in NEEDS_MATCHING else TANH


WITH_LOSS = [
    pytest.param(entry, case, id="-".join((name, *case)))
    for entry, name in zip(PAIRS, IDS, strict=True)
    for case in (squared(entry[0]), SIGMOID, SOFTMAX)
    if entry[0] not in NEEDS_ELEMENTWISE or case is not SOFTMAX
]


def every_entry(test):
    """Every method on every array library; on NumPy (and a GPU) also every other argument of the test."""
    return pytest.mark.each("entry")(pytest.mark.parametrize("entry", PAIRS, ids=IDS)(test))


def every_entry_with_every_loss(test):
    """The same with every network loss that the method can be trained with."""
    return pytest.mark.each("entry")(pytest.mark.parametrize(("entry", "case"), WITH_LOSS)(test))


def build(entry):
    name, settings = entry
    return method(name, **settings)


def run(ours, network, state, batches):
    for rate, x, t in batches:
        network, state, _ = ours.step(network, state, x, t, rate=rate)
    return network, state


def batches(backend, case, dtype="float64", rates=(1.0, 0.3, 0.0, 1.0, 0.7)):
    return [(rate, *draw(backend, case, seed=k, dtype=dtype)[1:]) for k, rate in enumerate(rates)]


# what goes in and what comes out ------------------------------------------------------------------


@pytest.mark.parametrize("entry", [*PAIRS, *((name, {}) for name in OFFLINE)], ids=[*IDS, *OFFLINE])
def test_the_signatures_are_those_of_the_protocol(entry):
    ours = build(entry)
    assert is_dataclass(ours)
    assert type(ours).__dataclass_params__.frozen
    for name in ("init", "step"):
        mine, wanted = (inspect.signature(getattr(kind, name)).parameters for kind in (type(ours), Method))
        assert list(mine) == list(wanted)
        for parameter, other in zip(mine.values(), wanted.values(), strict=True):
            assert (parameter.kind, parameter.default) == (other.kind, other.default)


@every_entry_with_every_loss
@every_dtype
def test_a_step_is_pure_and_keeps_the_form_of_what_it_is_given(backend, entry, case, dtype):
    """Same in, same out; nothing written into; dtype, shapes and library kept; a state of plain parts."""
    network, x, t = draw(backend, case, dtype=dtype)
    ours = build(entry)
    fresh = ours.init(network, 2)
    network, state, _ = ours.step(network, fresh, x, t)
    before = snapshot(backend, network, state, x, t)
    result = ours.step(network, state, x, t, rate=0.7)
    first, after, info = result
    second, again, _ = ours.step(network, state, x, t, rate=0.7)
    assert type(result) is tuple
    assert isinstance(first, Network)
    assert isinstance(info, dict)
    assert snapshot(backend, network, state, x, t) == before
    assert snapshot(backend, first, after) == snapshot(backend, second, again)
    assert form(after) == form(state) == form(fresh)
    for leaf in leaves(after):
        assert type(leaf) in (int, float) or (type(leaf) is type(x) and leaf.dtype == x.dtype)
    for layer, old in zip(first.layers, network.layers, strict=True):
        for mine, wanted in ((layer.W, old.W), (layer.b, old.b)):
            assert type(mine) is type(wanted)
            assert (mine.dtype, mine.shape) == (wanted.dtype, wanted.shape)
        assert layer.transfer is old.transfer
        assert np.abs(backend.numpy(layer.W) - backend.numpy(old.W)).max() > 0
    assert first.loss is network.loss


@every_entry
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
def test_at_rate_zero_no_weight_of_a_fresh_method_moves(backend, entry, bias):
    network, x, t = draw(backend, squared(entry[0]), bias=bias)
    ours = build(entry)
    moved, state = run(ours, network, ours.init(network), [(0.0, x, t)] * 2)
    assert naive_layers(backend, moved) == naive_layers(backend, network)
    assert form(state) == form(ours.init(network))


@every_entry_with_every_loss
def test_the_same_seed_gives_the_same_bits(backend, entry, case):
    network, *_ = draw(backend, case)
    some = batches(backend, case)
    results = [run(build(entry), network, build(entry).init(network, 5), some) for _ in range(2)]
    first, second = (snapshot(backend, *result) for result in results)
    assert first == second


@every_entry
def test_one_example_and_one_unit_are_enough(backend, entry):
    network, x, t = draw(backend, squared(entry[0]), sizes=(1, 1), batch=1)
    ours = build(entry)
    moved, _ = run(ours, network, ours.init(network), [(1.0, x, t)] * 3)
    assert np.isfinite(backend.numpy(moved.layers[0].W)).all()


@every_entry
@every_dtype
def test_a_checkpoint_goes_on_as_if_nothing_had_happened(backend, tmp_path, entry, dtype):
    """To the last bit; the first step after it computes no inverse, so that those of the file are used."""
    network, *_ = draw(backend, SIGMOID, dtype=dtype)
    some, ours = batches(backend, SIGMOID, dtype), build(entry)
    half, state = run(ours, network, ours.init(network, 3), some[:2])
    whole, wanted = run(ours, half, state, some[2:])
    save_checkpoint(tmp_path / "half.npz", Checkpoint(half, state, None, {}))
    loaded = load_checkpoint(tmp_path / "half.npz", xp=backend.xp)
    # the file's arrays come to the library's default device: the batches go along
    rest = [(rate, *(backend.xp.asarray(backend.numpy(v)) for v in batch)) for rate, *batch in some[2:]]
    again, state = run(ours, loaded.network, loaded.state, rest)
    assert form(state) == form(wanted)
    assert snapshot(backend, again, state) == snapshot(backend, whole, wanted)


@pytest.mark.parametrize("entry", PAIRS, ids=IDS)
def test_layers_side_by_side_are_layers_in_order(entry, monkeypatch):
    """To the last bit, with one BLAS thread in order as side by side, however small the layers are."""
    asked = []
    monkeypatch.setattr(parallel_module, "worth_threads", lambda costs: asked.append(costs) or True)
    transfers = ["tanh", "relu", "tanh", "sigmoid"]
    network = initialize(
        (60, 80, 20, 70, 60), transfers=transfers, output_loss="sigmoid_cross_entropy", dtype="float32"
    )
    x = np.random.default_rng(3).random((50, 60), dtype="float32")
    results = []
    for parallel in (True, False):
        ours = replace(build(entry), parallel_layers=parallel)
        with threadpool_limits(1, user_api="blas"):
            results.append(run(ours, network, ours.init(network), [(1.0, x, x)] * 2)[0])
        one_by_one = (
            getattr(ours, "target_order", "jacobi") == "gauss-seidel"
        )  # each layer waits for the last
        assert bool(asked) is (parallel and not one_by_one)
        asked.clear()
    for one, other in zip(*(result.layers for result in results), strict=True):
        assert_array_equal(one.W, other.W, strict=True)
        assert_array_equal(one.b, other.b, strict=True)


# Settings with which thirty steps on one batch lower the loss by a fifth at least.
GENTLE = {
    "backprop": {"optimizer_name": "sgd", "learning_rate": 0.2},
    "locoprop-s": {"local": Descend(optimizer("sgd"), local_lr=0.01, num_local_steps=3), "target_step": 5.0},
    "locoprop-m": {"local": Descend(optimizer("sgd"), local_lr=0.01, num_local_steps=3), "target_step": 5.0},
    "locoprop-s-closed": {"target_step": 2.0, "weight_step": 0.3},
    "locoprop-m-exact": {"target_step": 2.0, "weight_step": 0.3},
    "kfac": {"learning_rate": 0.1, "damping": 0.1, "momentum": 0.0},
    "foof": {"learning_rate": 0.1, "damping": 0.1},
    "shampoo": {"learning_rate": 0.05},
    "am": {"solver": Descend(optimizer("sgd"), 0.2, 1)},
    "am-mem": {"targets": CodeTargets(last_layer="gradient", last_step=4.0)},
    "tp": {"targets": InverseTargets(correction="plain"), "solver": Descend(optimizer("adam"), 0.02, 1)},
    "dtp": {"solver": Descend(optimizer("adam"), 0.02, 1)},
    "fa": {"solver": Descend(optimizer("sgd"), 0.2, 1)},
    "dfa": {"solver": Descend(optimizer("sgd"), 0.2, 1)},
    "ste": {"optimizer_name": "sgd", "learning_rate": 0.2},
}


@pytest.mark.parametrize("name", ON_BATCHES)
def test_thirty_steps_on_one_batch_lower_the_loss(name, numpy_backend):
    network, x, t = draw(numpy_backend, squared(name), batch=8)
    t, ours = np.tanh(t), method(name, **GENTLE.get(name, {}))
    moved, _ = run(ours, network, ours.init(network), [(1.0, x, t)] * 30)
    assert network_loss(moved, x, t) < 0.8 * network_loss(network, x, t)


# bad arguments ------------------------------------------------------------------------------------

NET = initialize((3, 2), transfers="identity")
X, T = np.ones((4, 3)), np.zeros((4, 2))
BAD_STEPS = {
    "x list": ((X.tolist(), T), {}, TypeError, "x must be an array"),
    "x none": ((None, T), {}, TypeError, "x must be an array"),
    "x width": ((T, T), {}, ValueError, r"x must have shape \(any, 3\), got \(4, 2\)"),
    "x vector": ((X[0], T), {}, ValueError, "x must have 2 dimensions"),
    "x empty": ((X[:0], T[:0]), {}, ValueError, "x must hold at least one example"),
    "x integers": ((X.astype(int), T), {}, TypeError, "x must have dtype float32 or float64"),
    "x dtype": (
        (X.astype("float32"), T.astype("float32")),
        {},
        TypeError,
        "x must have the dtype of network",
    ),
    "x nan": ((X * np.nan, T), {}, ValueError, "x must be finite, got NaN or infinity"),
    "x inf": ((X * np.inf, T), {}, ValueError, "x must be finite, got NaN or infinity"),
    "t list": ((X, T.tolist()), {}, TypeError, "t must be an array"),
    "t width": ((X, X), {}, ValueError, r"t must have shape \(4, 2\), got \(4, 3\)"),
    "t batch": ((X, T[:2]), {}, ValueError, r"t must have shape \(4, 2\), got \(2, 2\)"),
    "t dtype": ((X, T.astype("float32")), {}, TypeError, "t must have the dtype"),
    "t nan": ((X, T * np.nan), {}, ValueError, "t must be finite, got NaN or infinity"),
    "t inf": ((X, T + np.inf), {}, ValueError, "t must be finite, got NaN or infinity"),
    "rate": ((X, T), {"rate": -0.1}, ValueError, "rate must be a finite number of at least 0, got -0.1"),
    "rate nan": ((X, T), {"rate": np.nan}, ValueError, "rate must be a number, got nan"),
    "rate inf": ((X, T), {"rate": np.inf}, ValueError, "rate must be a finite number of at least 0, got inf"),
    "rate none": ((X, T), {"rate": None}, TypeError, "rate must be a number, got None"),
}


@pytest.mark.parametrize("name", METHODS)
def test_a_bad_batch_is_refused_in_one_sentence(name):
    ours = method(name)
    for arguments, settings, error, sentence in BAD_STEPS.values():
        with pytest.raises(error, match="^" + sentence):
            ours.step(NET, ours.init(NET), *arguments, **settings)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("other", ["x", "t", "both"])
def test_a_batch_of_another_library_is_refused(name, other):
    strict = pytest.importorskip("array_api_strict")
    ours = method(name)
    batch = [
        strict.asarray(array) if other in (key, "both") else array for key, array in (("x", X), ("t", T))
    ]
    with pytest.raises(TypeError):
        ours.step(NET, ours.init(NET), *batch)


@pytest.mark.parametrize("name", METHODS)
def test_a_state_of_another_network_is_refused_in_one_sentence(name):
    for state in ({}, {"layers": ()}, None, (), "state"):
        with pytest.raises((TypeError, ValueError), match=r"^state must"):
            method(name).step(NET, state, X, T)


@pytest.mark.parametrize("name", METHODS)
def test_what_is_no_network_is_refused_in_one_sentence(name):
    ours = method(name)
    for wrong in (None, 5, Network, {"layers": ()}):
        got = f"^network must be a Network, as initialize makes, got {type(wrong).__name__}$"
        with pytest.raises(TypeError, match=got):
            ours.init(wrong)
        with pytest.raises(TypeError, match=got):
            ours.step(wrong, {"layers": ()}, np.ones((2, 3)), np.ones((2, 1)))


@pytest.mark.parametrize("count", ["x", None, (), True])
def test_a_count_that_is_no_number_is_refused_in_one_sentence(count):
    """Adam's count of steps, as a checkpoint that was changed by hand may have it."""
    ours, network = method("am"), initialize((3, 2), transfers="identity")
    state = ours.init(network)
    kept = {**state["layers"][0], "solver": {**state["layers"][0]["solver"], "count": count}}
    with pytest.raises(ValueError, match=r"^state\['layers'\]\[0\] must be what init made"):
        ours.step(network, {**state, "layers": (kept,)}, np.ones((2, 3)), np.ones((2, 2)))


@pytest.mark.parametrize("name", METHODS)
def test_a_state_of_a_deeper_network_is_refused_in_one_sentence(name):
    ours = method(name)
    with pytest.raises(ValueError, match=r"^state must be what init made of this network of 1 layers"):
        ours.step(NET, ours.init(initialize((3, 2, 2), transfers="relu")), X, T)


def with_arrays(state, change):
    """A state with every array changed, at whatever depth it lies."""
    if isinstance(state, dict):
        return {key: with_arrays(value, change) for key, value in state.items()}
    if isinstance(state, tuple):
        return tuple(with_arrays(value, change) for value in state)
    return change(state) if hasattr(state, "shape") else state


def holds_arrays(name):
    return any(hasattr(leaf, "shape") for leaf in leaves(method(name).init(NET)))


KEEPING = [name for name in METHODS if holds_arrays(name)]
OTHER_STATES = {
    "another size": lambda ours, own: ours.init(initialize((5, 2), transfers="tanh")),
    "another dtype": lambda ours, own: with_arrays(own, lambda array: array.astype(np.float32)),
    "another shape": lambda ours, own: with_arrays(own, lambda array: array[:1, :1]),
}


@pytest.mark.parametrize("name", KEEPING)
@pytest.mark.parametrize("of", OTHER_STATES)
def test_a_layer_of_another_state_is_refused_in_one_sentence(name, of):
    """As many layers as the network has, with arrays that are not what `init` made for them."""
    ours = method(name)
    state = OTHER_STATES[of](ours, ours.init(NET))
    sentence = r"^state\['layers'\]\[0\].* must be what init made of a layer of 3 inputs"
    with pytest.raises(ValueError, match=sentence):
        ours.step(NET, state, X, T)


@pytest.mark.parametrize("name", METHODS)
def test_a_state_of_another_method_is_refused_in_one_sentence(name):
    ours, refused = method(name), 0
    for foreign in (method(other).init(NET) for other in KEEPING):
        if form(foreign) == form(ours.init(NET)):
            ours.step(NET, foreign, X, T)  # the two methods keep the same: nothing tells their states apart
            continue
        refused += 1
        with pytest.raises((TypeError, ValueError), match=r"^state[ \[].*must be "):
            ours.step(NET, foreign, X, T)
    assert refused


def test_the_methods_that_keep_arrays_in_their_states():
    assert set(METHODS) - set(KEEPING) == {"locoprop-s-closed", "locoprop-m-exact", *OFFLINE}


BAD_VALUES = {bool: "no", int: 2.5, float: float("nan"), str: "nonsense"}


@pytest.mark.parametrize("name", METHODS)
def test_every_plain_setting_is_checked(name):
    """A setting of a kind that it cannot have: its name, what it must be, and what it got."""
    ours = method(name)
    plain = [f.name for f in fields(ours) if type(getattr(ours, f.name)) in BAD_VALUES]
    assert ("parallel_layers" in plain) is (name not in OFFLINE)
    for setting in plain:
        bad = BAD_VALUES[type(getattr(ours, setting))]
        with pytest.raises((TypeError, ValueError), match=rf"^{setting} must be .*, got {bad!r}"):
            replace(ours, **{setting: bad})


@pytest.mark.parametrize("name", METHODS)
def test_an_unknown_setting_is_refused(name):
    with pytest.raises(TypeError, match="gamma"):
        method(name, gamma=10.0)
