"""The vectors of layers with positions or steps: sizes, what they tell apart, and identities."""

from itertools import combinations

import numpy as np
import pytest

from locoprop_ref.network import forward
from locoprop_ref.oracle import cases, check
from locoprop_ref.oracle.compare import deviations
from locoprop_ref.oracle.conventions import WIRED, choices
from locoprop_ref.oracle.flags import BY_FLAG
from locoprop_ref.oracle.generate import PROVEN, TOLD_APART
from locoprop_ref.oracle.own_positions import network
from locoprop_ref.oracle.second_source import context, evaluate, floats

ALL = [case for topic in PROVEN for case in cases(topic)]


def distance(got, expected):
    """The largest deviation in the scale of tolerances; infinite where something has another shape."""
    if any(got[name].shape != value.shape for name, value in expected.items()):
        return np.inf
    return max(np.max(deviations(got[name], value)) for name, value in expected.items())


def with_flag(case, name):
    """The case as it comes out under a flag, in float64."""
    values = evaluate(case.topic, choices(case.conventions) | BY_FLAG[name].change, case.inputs, ctx=floats())
    return {name: np.array(value, dtype=np.float64) for name, value in values.items()}


def sizes(case):
    """Every number by which a mistake may divide, or that it may exchange for another one."""
    inputs = case.inputs
    wiring = inputs.get("wiring") or inputs["wirings"][0]
    batch = inputs["y" if "y" in inputs else "x"] if "y" in inputs or "x" in inputs else None
    found = [*inputs["shape"], *(wiring[0][key] for key in ("size", "stride", "padding") if key in wiring[0])]
    if batch is not None:
        found.append(batch.shape[-2])
    found += [inputs[f"W_{m}"].shape[1] for m in range(1, len(inputs.get("wirings", ())) + 1)]
    settings = ("target_step", "weight_step", "num_local_steps")
    return found + [inputs[key] for key in settings if key in inputs]


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.id)
def test_no_two_sizes_are_the_same(case):
    assert len(set(sizes(case))) == len(sizes(case)), sizes(case)


def told_apart(case):
    """Check that every two conventions differ by more than 100 tolerances, or are listed; count the pairs."""
    bound = case.tolerance["float64"]
    flags = [name for name in case.flags if name in BY_FLAG]
    results = {"documented": case.expected} | {name: with_flag(case, name) for name in flags}
    pairs = list(combinations(results, 2))
    for first, second in pairs:
        alike = (first, second) in case.cannot_tell
        apart = distance(results[first], results[second])
        # two tolerances, because each of the two is rounded
        assert apart <= 2 * bound if alike else apart > TOLD_APART * bound, (first, second, apart)
    return len(pairs)


@pytest.mark.parametrize("topic", [topic for topic in PROVEN if not topic.endswith("_training")])
def test_conventions_are_told_apart(topic):
    which = cases(topic)[-1:] if topic in WIRED else cases(topic)
    assert sum(told_apart(case) for case in which) >= len(which)


@pytest.mark.full
@pytest.mark.parametrize("topic", WIRED)
def test_conventions_are_told_apart_in_every_case(topic):
    assert sum(told_apart(case) for case in cases(topic)) > 50


def test_every_flag_is_told_from_every_other_somewhere():
    """What one case cannot tell apart, another one can."""
    never = {pair for case in ALL for pair in case.cannot_tell}
    assert never == {("BiasLeftOut", "BiasNotApplied"), ("TruncatedToLastStep", "DirectDerivative")}
    for first, second in never:
        assert any(
            {first, second} <= set(case.flags) and (first, second) not in case.cannot_tell for case in ALL
        )


@pytest.mark.parametrize("name", ["image", "image-plain", "steps", "every-step", "last-step"])
def test_rows_and_the_way_back_are_adjoint(name):
    """⟨rows(y), u⟩ = ⟨y, pull_back(u)⟩; inputs are multiples of 1/64, so that both sides are exact."""
    rows = next(case for case in cases("rows") if case.id == f"rows/{name}")
    back = next(case for case in cases("adjoint") if case.id == f"adjoint/{name}")
    left = np.sum(rows.expected["x"] * back.inputs["u"])
    assert left == np.sum(rows.inputs["y"] * back.expected["dy"])


@pytest.mark.parametrize("case", cases("pooling"), ids=lambda case: case.id)
def test_pooling_and_its_derivative(case):
    """Both are homogeneous of degree 1, so that ⟨pooled, u⟩ = ⟨y, dy⟩ (Euler), ties included."""
    left = np.sum(case.expected["pooled"] * case.inputs["u"])
    # sums of some 200 products of numbers up to 4
    np.testing.assert_allclose(np.sum(case.inputs["y"] * case.expected["dy"]), left, rtol=0, atol=1e-12)


def loss_of(case, m, i, j, change):
    """The loss of the second source in high precision, with one weight changed."""
    ctx = context(digits=40)
    inputs = dict(case.inputs)
    W = [[ctx.mpf(float(w)) for w in row] for row in inputs[f"W_{m}"]]
    W[i][j] += change
    inputs[f"W_{m}"] = W
    return evaluate(case.topic, choices(case.conventions), inputs, ctx=ctx)["loss"]


@pytest.mark.full
@pytest.mark.parametrize("case", cases("convolution") + cases("recurrence"), ids=lambda case: case.id)
def test_gradients_are_derivatives_of_the_loss(case, monkeypatch):
    """A central difference in 40 digits, in the first and the last weight of every layer."""
    # weights are read as floats, which would round the difference away
    monkeypatch.setattr("locoprop_ref.oracle.second_source.numbers.float", lambda v: v, raising=False)
    h = context(digits=40).mpf(10) ** -13
    if "Ties" in case.flags:
        return  # not differentiable
    for m in range(1, len(case.inputs["wirings"]) + 1):
        dW = case.expected[f"dW_{m}"]
        for i, j in ((0, 0), (dW.shape[0] - 1, dW.shape[1] - 1)):
            slope = (loss_of(case, m, i, j, h) - loss_of(case, m, i, j, -h)) / (2 * h)
            # the third derivative times h² is 1e-26; the expected value is rounded to float64
            assert abs(slope - dW[i, j]) <= 1e-15 * (1 + abs(slope))


@pytest.mark.parametrize("topic", ["convolution_training", "recurrence_training"])
def test_a_gentle_case_is_gentle_in_every_layer(topic):
    case = next(case for case in cases(topic) if "Gentle" in case.flags)
    net = network(case.inputs)
    for x in case.inputs["x"]:
        for layer, rows in zip(net.layers, forward(net, x).x, strict=True):
            X = layer.augment(rows)
            assert case.inputs["weight_step"] * np.linalg.norm(X, 2) ** 2 < 1


def test_the_first_local_gradient_is_that_of_the_network():
    """I1: y* is the same in both, and with the sum the gradient is γ times that of the loss."""
    for case in cases("recurrence_local") + cases("convolution_local"):
        if case.conventions["local_reduction"] == "sum":
            topic = case.topic.removesuffix("_local")
            inputs = {k: v for k, v in case.inputs.items() if k not in ("method", "target_step")}
            values = evaluate(topic, choices({}), inputs, ctx=floats())
            for name in (name for name in case.expected if name.startswith("dW")):
                got = case.inputs["target_step"] * np.array(values[name])
                np.testing.assert_allclose(got, case.expected[name], rtol=0, atol=1e-13)


def test_an_implementation_without_these_topics_is_not_wrong():
    def target(topic, conventions, inputs):
        return NotImplemented if topic in PROVEN else {}

    report = check(target, ALL)
    assert report.ok
    assert {result.status for result in report.results} == {"not covered"}


def test_every_topic_is_one_of_positions():
    assert set(WIRED) < set(PROVEN)
