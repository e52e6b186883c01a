"""Arguments that have no meaning are refused in one sentence: never broadcast, wrapped or ignored."""

import json

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from locoprop_ref import (
    CodeTargets,
    FeedbackTargets,
    GradientTargets,
    InverseTargets,
    KroneckerTargets,
    LocalProblem,
    Memory,
    RunningMetric,
    backprop,
    backward,
    checks,
    forward,
    gradients,
    initialize,
    locoprop_m,
    locoprop_m_exact,
    locoprop_s,
    network_loss,
    output_loss,
    predict,
    transfer,
)
from locoprop_ref.methods import relatives
from locoprop_ref.methods.options import options_of
from locoprop_ref.microbatches import gradients_in_microbatches, microbatches_that_pay
from locoprop_ref.spectrum import descent_filter, exact_filter
from locoprop_ref.training.apply import outputs
from locoprop_ref.training.checkpoint import load_checkpoint, save_network
from locoprop_ref.training.config import resolve
from locoprop_ref.training.options import from_json
from locoprop_ref.training.task import evaluate
from locoprop_ref.transfers import TRANSFERS
from locoprop_ref.wirings import above, every_step, flatten, last_step, patches, pool, steps

NETWORK = initialize((3, 4, 2), transfers="tanh")
X, T = np.linspace(0, 1, 15).reshape(5, 3), np.linspace(0, 1, 10).reshape(5, 2)
METHOD = backprop("sgd", 0.1)
STATE = METHOD.init(NETWORK)
PROBLEM = LocalProblem(X, T, transfer("tanh"), np.zeros((3, 2)))
MASKED = {"x": np.ma.masked_array(X, mask=X > 0.5), "t": np.ma.masked_array(T, mask=T > 0.5)}


@pytest.mark.parametrize(
    "call",
    [
        lambda: forward(NETWORK, MASKED["x"]),
        lambda: METHOD.step(NETWORK, STATE, MASKED["x"], T),
        lambda: METHOD.step(NETWORK, STATE, X, MASKED["t"]),
        lambda: network_loss(NETWORK, X, MASKED["t"]),
        lambda: LocalProblem(MASKED["x"], T, transfer("tanh"), np.zeros((3, 2))),
    ],
)
def test_a_masked_array_is_refused(call):
    """Its hidden values would be trained on."""
    with pytest.raises(TypeError, match=r"^(x|t) must be an array without a mask, got a masked array"):
        call()


@pytest.mark.parametrize("maker", [locoprop_s, locoprop_m, locoprop_m_exact])
@pytest.mark.parametrize("solver", [0, False, "", ()])
def test_a_solver_that_counts_as_false_is_not_the_default(maker, solver):
    with pytest.raises(TypeError, match=r"^solver must be a Solver"):
        maker(solver)


@pytest.mark.parametrize("name", TRANSFERS)
@pytest.mark.parametrize("dtype", ["uint8", "int64", "bool"])
def test_transfers_of_integers_are_refused(name, dtype):
    """F(20) in eight bits was 72."""
    f, a = transfer(name), np.ones((2, 3), dtype)
    functions = [f.f, f.F, lambda a: f.vjp(a, np.ones((2, 3)))]
    functions += [f.derivative] if f.elementwise else []
    functions += [f.inverse] if f._inverse is not None else []
    functions += [f.F_star] if f._F_star is not None else []
    for function in functions:
        with pytest.raises(
            TypeError, match=rf"^[ay] must be an array of floating-point numbers, got {dtype}$"
        ):
            function(a)


@pytest.mark.parametrize("name", ["tanh", "softmax"])
@pytest.mark.parametrize("shape", [(1, 3), (3,), (4, 1), (2, 4, 3)], ids=str)
def test_a_vector_of_another_shape_is_not_broadcast(name, shape):
    with pytest.raises(ValueError, match=r"^u must have shape \(4, 3\), got "):
        transfer(name).vjp(np.ones((4, 3)), np.ones(shape))


@pytest.mark.parametrize("shape", [(3, 1), (3, 5), (1, 2), (2,)], ids=str)
def test_weights_of_another_shape_are_not_broadcast(shape):
    for function in (PROBLEM.residual, PROBLEM.pre_activation, PROBLEM.value, PROBLEM.gradient):
        with pytest.raises(ValueError, match=r"^W must have (shape|2 dimensions)"):
            function(np.zeros(shape))
    with pytest.raises(TypeError, match=r"^W must have the dtype of W0, float64, got float32"):
        PROBLEM.residual(np.zeros((3, 2), "float32"))


@pytest.mark.parametrize("wrong", [None, "network", 3, [X], X, STATE], ids=lambda one: type(one).__name__)
def test_what_is_no_network_and_no_trace_is_named(wrong):
    """Not Python's "has no attribute"."""
    trace = forward(NETWORK, X)
    for call in (
        lambda: forward(wrong, X),
        lambda: predict(wrong, X),
        lambda: network_loss(wrong, X, T),
        lambda: gradients(wrong, X, T),
        lambda: backward(wrong, trace, T),
    ):
        with pytest.raises(TypeError, match=r"^network must be a Network, as initialize makes, got "):
            call()
    with pytest.raises(TypeError, match=r"^trace must be a Trace, as forward\(network, x\) makes, got "):
        backward(NETWORK, wrong, T)
    for function in (PROBLEM.residual, PROBLEM.pre_activation):
        with pytest.raises((TypeError, ValueError), match=r"^W must "):
            function(wrong)


class Unspeakable:
    """Its `repr` raises."""

    def __repr__(self):
        """Fail."""
        raise RuntimeError("no words")


def test_any_value_is_shown_in_one_line():
    assert checks.shown(Unspeakable()) == "an object of class Unspeakable"
    assert checks.shown("two\nlines") == "'two\\nlines'"
    assert checks.shown(np.zeros((2, 1))) == "array([[0.], [0.]])"
    assert len(checks.shown("x" * 5000)) == 200
    for check in (checks.number, checks.positive, checks.integer, checks.boolean):
        with pytest.raises(TypeError, match=r"got an object of class Unspeakable$"):
            check("name", Unspeakable())
    with pytest.raises(ValueError, match=r"got an object of class Unspeakable$"):
        checks.one_of("name", Unspeakable(), ["a"])


@pytest.mark.parametrize("large", [2**63, 10**400])
def test_counts_have_a_largest_value(large):
    with pytest.raises(ValueError, match=r"^K must be an integer of at most 9223372036854775807, got "):
        checks.integer("K", large)
    with pytest.raises(ValueError, match=r"^K must be an integer of at least 1, got a smaller one$"):
        checks.integer("K", -large)
    assert checks.integer("seed", large, maximum=None) == large


def test_right_arguments_pass():
    """The checks refuse nothing that is right."""
    assert_array_equal(PROBLEM.residual(np.ones((3, 2))), np.tanh(X @ np.ones((3, 2))) - T)
    assert_array_equal(transfer("relu").vjp(X, X), X * (X > 0))


@pytest.mark.parametrize("maker", [relatives.am, relatives.am_mem, relatives.tp, relatives.dtp,
                                   relatives.fa, relatives.dfa])  # fmt: skip
@pytest.mark.parametrize("nothing", [0, False, "", (), {}])
def test_targets_that_count_as_false_are_not_the_default(maker, nothing):
    for name, words in (("targets", "^targets must be "), ("solver", "^solver must be ")):
        with pytest.raises(TypeError, match=words):
            maker(**{name: nothing})
    with pytest.raises((TypeError, ValueError), match=r"^(optimizer|optimizer_name) must be "):
        options_of("backprop", nothing)


def test_sizes_of_wirings_are_plain_numbers():
    """A kernel of 16 x 16 once had uint8(16)**2 = 0 places; a file takes no NumPy scalar."""
    shape = tuple(np.uint8(n) for n in (1, 20, 20))
    plain = patches((1, 20, 20), 16, 2, 1)
    assert patches(shape, np.uint8(16), np.int64(2), np.int8(1)) == plain
    assert pool(shape, np.uint8(16)) == pool((1, 20, 20), 16)
    for wiring in (plain, pool(shape, np.uint8(16), stride=np.int64(2))):
        assert json.loads(json.dumps(wiring.recipe)) and repr(wiring.recipe).count("np.") == 0


@pytest.mark.parametrize("shape", ["", [], {}, b"ab", {1, 2}, None, 3])
def test_a_shape_is_a_sequence_of_sizes(shape):
    for maker in (flatten, steps, every_step, last_step):
        with pytest.raises(TypeError, match=r"^shape must be a sequence of sizes, got "):
            maker(shape)
    with pytest.raises(TypeError, match=r"^layer_sizes must be a sequence of sizes"):
        initialize(b"ab", transfers="tanh")


def test_what_is_no_wiring_is_named():
    wiring = patches((1, 4, 4), 2)
    with pytest.raises(TypeError, match=r"^after must be a Wiring"):
        wiring.then(3)
    with pytest.raises(TypeError, match=r"^wiring must be a Wiring"):
        above(None, 2)
    with pytest.raises(ValueError, match=r"^positions must be an integer of at least 1, got 0$"):
        above(wiring, 0)


@pytest.mark.parametrize("limit", [0, -1, True, 0.5, float("nan")])
def test_a_limit_of_memory_is_a_number_of_bytes(limit):
    with pytest.raises((TypeError, ValueError), match=r"^memory_limit must be an integer"):
        forward(NETWORK, X, limit)


def test_a_trace_of_another_dtype_is_refused():
    """A float32 network would have gone on with float64 gradients."""
    narrow = initialize((3, 4, 2), transfers="tanh", dtype="float32")
    with pytest.raises(TypeError, match=r"^trace must have the dtype of network, float32, got float64$"):
        backward(narrow, forward(NETWORK, X), T)


@pytest.mark.parametrize("wrong", [None, "network", [X]], ids=lambda one: type(one).__name__)
def test_parts_name_what_is_no_network_transfer_or_weights(wrong):
    rules = (GradientTargets(), CodeTargets(), FeedbackTargets(), InverseTargets(), KroneckerTargets())
    for rule in rules:
        with pytest.raises(TypeError, match=r"^network must be a Network, as initialize makes, got "):
            rule.init(wrong)
    loss = output_loss("squared_error")
    for call in (
        lambda: loss.value(T, T, wrong),
        lambda: loss.g(T, T, wrong),
        lambda: loss.check_transfer(wrong),
    ):
        with pytest.raises(TypeError, match=r"^transfer must be a Transfer"):
            call()
    for part in (Memory(), RunningMetric(0.5)):
        with pytest.raises(TypeError, match=r"^W0 must be an array"):
            part.init(wrong)
    with pytest.raises(TypeError, match=r"^num_examples must be an integer"):
        microbatches_that_pay(NETWORK, wrong)


@pytest.mark.parametrize("wrong", [[0.5], np.array([1, 2]), None], ids=lambda one: type(one).__name__)
def test_eigenvalues_are_an_array_of_floats(wrong):
    with pytest.raises(TypeError, match=r"^eigenvalues must "):
        descent_filter(wrong, (0.5,))
    with pytest.raises(TypeError, match=r"^eigenvalues must "):
        exact_filter(wrong, 0.5)
    with pytest.raises(ValueError, match=r"^rates must be a finite number of at least 0, got -0.5$"):
        descent_filter(np.ones(2), (0.5, -0.5))


def test_functions_on_whole_sets_name_what_is_no_network(tmp_path):
    for wrong in (None, "network", NETWORK.layers):
        for call in (
            lambda wrong=wrong: evaluate(wrong, X, T),
            lambda wrong=wrong: outputs(wrong, X),
            lambda wrong=wrong: save_network(tmp_path / "n.npz", wrong),
            lambda wrong=wrong: gradients_in_microbatches(wrong, X, T, 2),
            lambda wrong=wrong: microbatches_that_pay(wrong, 10),
        ):
            with pytest.raises(TypeError, match=r"^network must be a Network, as initialize makes, got "):
                call()
    assert not list(tmp_path.iterdir())
    with pytest.raises(TypeError, match=r"^xp must be an array namespace such as numpy, got None$"):
        load_checkpoint(tmp_path / "n.npz", xp=None)


@pytest.mark.parametrize(
    "rate", [True, "1", None, 10**400, np.array(0.5)], ids=lambda one: type(one).__name__
)
def test_a_rate_of_a_problem_is_a_number(rate):
    with pytest.raises((TypeError, ValueError), match=r"^rate must be a number"):
        PROBLEM.scaled(rate)


def test_settings_of_a_run_are_text():
    for wrong in (Unspeakable(), 784, ["784-10-784"]):
        with pytest.raises(TypeError, match=r"^layers must be widths or words, such as 784-100-784, got "):
            resolve(layers=wrong)
    with pytest.raises(TypeError, match=r"^values must be a dict, as as_json makes, got list$"):
        from_json([])
