"""The vectors of LocoProp itself tell conventions apart: sizes and answers do not agree by chance."""

from itertools import combinations

import numpy as np
import pytest

from locoprop_ref.network import forward
from locoprop_ref.oracle import cases, own_positions
from locoprop_ref.oracle.conventions import QUICK
from locoprop_ref.oracle.flags import BY_FLAG
from locoprop_ref.oracle.generate import PROVEN, TOLD_APART, VISIBLE
from locoprop_ref.oracle.imitate import distance, imitation
from locoprop_ref.oracle.topics import TOPICS
from locoprop_ref.oracle.vectors import VERSION

CORE = [topic for topic in TOPICS if topic not in (*PROVEN, *QUICK)]
GENTLE = [case for case in cases() if "Gentle" in case.flags]
LAYERS = ("target", "closed_form", "local_steps", "exact")
NETWORKS = ("network", "first_step", "training")
# the same deviation under two names: without a closed form an update that is not applied is left out, and of
# a dialect one choice alone may be left
STRUCTURAL = {
    ("BiasLeftOut", "BiasNotApplied"), ("MeanSquareFromZeros", "DialectOptax"),
    ("MeanSquareFromOnes", "DialectTF1"), ("EpsilonInside", "DialectOptax"),
    ("EpsilonInside", "AdagradOptax"),
    ("TargetFromPostActivation", "MethodsExchanged"), ("RidgeInverted", "DualRidgeInverted"),
    ("DialectTorch", "PyPIPackage"), ("TargetsGaussSeidelCapped", "PyPIPackage"),
    # a decay of at most 10 steps is never below 0.1
    ("LocalDecayWithoutFloor", "LocalDecayFloorTenth"),
}  # fmt: skip


def told_apart(case):
    """Check that every two conventions differ by more than 100 tolerances, or are listed; count the pairs."""
    bound = case.tolerance["float64"]
    flags = [name for name in case.flags if name in BY_FLAG]
    results = {name: imitation(case, (BY_FLAG[name],)) for name in flags}
    for name in flags:
        assert distance(case, results[name], case.expected) > VISIBLE * bound, name
    pairs = list(combinations(flags, 2))
    for first, second in pairs:
        apart = distance(case, results[first], results[second])
        if (first, second) in case.cannot_tell:
            # 100 tolerances, and what floats add to the certified numbers
            assert apart <= (TOLD_APART + 2) * bound, (first, second, apart)
        else:
            assert apart > TOLD_APART * bound * 0.9, (first, second, apart)
    return len(pairs)


@pytest.mark.parametrize("topic", [topic for topic in CORE if topic not in ("training", "exact")])
def test_conventions_are_told_apart(topic):
    told_apart(cases(topic)[-1])


@pytest.mark.full
@pytest.mark.parametrize("topic", CORE)
def test_conventions_are_told_apart_in_every_case(topic):
    pairs = sum(told_apart(case) for case in cases(topic))
    assert pairs > 0 or topic in ("transfer", "integral", "inverse", "conjugate", "matching_loss")


def test_few_pairs_are_left_untold():
    """Apart from two names for one deviation, a case leaves next to nothing open."""
    left = [(case.id, pair) for case in cases() for pair in case.cannot_tell if pair not in STRUCTURAL]
    assert {id_ for id_, _ in left} <= {
        # relu has the slope 1 or 0, and projection of a relu layer's target is f of it
        "local_steps/m-relu-nobias", "training/m-relu-squared",
        # a mean over two outputs is a half of the sum
        "closed_form/one-example", "closed_form/linear", "closed_form/dual-mean", "exact/tanh-mean",
        "local_steps/s-relu-nobias", "local_steps/s-tanh-rmsprop-tf1", "local_steps/s-tanh-rmsprop-torch",
        "local_steps/s-tanh-rmsprop-optax",
        # the cap of corrected inputs is not reached by small steps
        "training/s-closed-gentle", "training/m-exact-gentle",
    } | {case.id for topic in PROVEN for case in cases(topic)}  # fmt: skip


def sizes(case):
    """Every number by which a mistake may divide, or that it may exchange for another one."""
    i = case.inputs
    names = [name for name in sorted(i) if name == "W" or name.startswith("W_")]
    x = i["x"] if "x" in i else i["a_hat"]
    found = [x.shape[-2], i[names[0]].shape[0], *(i[name].shape[1] for name in names)]
    return found + [i[key] for key in ("num_local_steps", "target_step", "weight_step") if key in i]


@pytest.mark.parametrize("topic", [*LAYERS, *NETWORKS])
def test_no_two_sizes_are_the_same(topic):
    for case in cases(topic):
        if not {"Square", "Gentle", "IllConditioned"} & set(case.flags) and case.id != "network/square":
            assert len(set(sizes(case))) == len(sizes(case)), (case.id, sizes(case))


def test_the_batch_and_the_outputs_of_a_loss_differ():
    for case in cases("output_loss"):
        batch, outputs = case.inputs["a_hat"].shape
        assert len({batch, outputs, 2}) == 3 or "Extreme" in case.flags


@pytest.mark.parametrize("topic", ["network", "first_step", "training"])
def test_inputs_are_not_exact_in_tf32(topic):
    """TF32 keeps 11 bits, the hidden one included."""
    for case in cases(topic):
        mantissa = np.frexp(case.inputs["x"])[0] * 2.0**11
        assert np.any(mantissa != np.round(mantissa)), case.id


# topics without weight_step: a condition η λ_max < 1 has no meaning there
NO_GENTLE = {
    **dict.fromkeys(
        ("transfer", "integral", "inverse", "conjugate", "matching_loss"), "functions of numbers"
    ),
    **dict.fromkeys(("output_loss", "network", "convolution", "recurrence"), "one pass, no local problem"),
    **dict.fromkeys(("rows", "adjoint", "pooling"), "numbers are moved, or averaged"),
    **dict.fromkeys(("target", "inverse_target"), "targets are computed before the local problem"),
    **dict.fromkeys(
        ("first_step", "convolution_local", "recurrence_local"), "the gradient at W0: no pull yet"
    ),
    **dict.fromkeys(("optimizer", "mirror"), "the gradients are given"),
    "codes": "the K steps at code_lr are the result, not the way to it",
    **dict.fromkeys(("kronecker_target", "gauss_newton_target"), "a damping, solved for directly"),
    "admm": "each block is an exact minimum without a step",
}


def test_every_topic_with_a_weight_step_has_a_gentle_case_and_no_other_topic_has_a_weight_step():
    for topic in TOPICS:
        gentle = [case for case in cases(topic) if "Gentle" in case.flags]
        stepped = any("weight_step" in case.inputs for case in cases(topic))
        assert bool(gentle) == stepped == (topic not in NO_GENTLE), topic


def largest_eigenvalues(case):
    """λ_max of x̃ᵀx̃ of every layer by the first batch, or of the memory after its last one."""
    i = case.inputs

    def with_ones(x, bias):
        return np.hstack([x, np.ones((len(x), 1))]) if bias else x

    if case.topic == "memory":
        A = 0.0
        for x in i["x"]:
            A = i["decay"] * A + with_ones(x, True).T @ with_ones(x, True)
        return [np.linalg.norm(A, 2)]
    if case.topic in QUICK:
        layers = own_positions.network(i)
        read = forward(layers, i["x"][0]).x
        rows = [layer.augment(x) for layer, x in zip(layers.layers, read, strict=True)]
        assert [x.shape[1] for x in rows] == [len(layer.stacked) for layer in layers.layers]
        return [np.linalg.norm(x, 2) ** 2 for x in rows]
    x = i["x"][0] if case.topic == "training" else i["x"]
    names = [f"_{m}" for m in range(1, len(i["transfers"]) + 1)] if case.topic == "training" else [""]
    found = []
    for suffix in names:
        x_tilde = with_ones(x, "b" + suffix in i)
        found.append(np.linalg.norm(x_tilde, 2) ** 2)
        x = np.tanh(x_tilde @ np.vstack([i["W" + suffix], i["b" + suffix]]))
    return found


@pytest.mark.parametrize("case", GENTLE, ids=lambda case: case.id)
def test_a_gentle_case_keeps_its_condition(case):
    """η λ_max(x̃ᵀx̃) < 1, so that a fixed-point iteration converges."""
    assert case.inputs["weight_step"] * max(largest_eigenvalues(case)) < 1


def test_every_case_has_the_version():
    assert VERSION == 2


def test_a_schedule_is_tested_in_two_dialects_and_by_gradient_descent():
    scheduled = [case for case in cases("training") if len(set(case.inputs["rates"].tolist())) > 1]
    kinds = {case.conventions.get("dialect", case.inputs.get("optimizer")) for case in scheduled}
    assert kinds >= {"tf1", "torch", "sgd"}
    for flag in ("ScheduleIgnored", "ScheduleLate", "ScheduleOnBoth", "ScheduleOnTargetStep"):
        assert any(flag in case.flags for case in scheduled), flag


@pytest.mark.parametrize("name, textbook", [
    ("tanh", lambda a: (np.exp(a) - np.exp(-a)) / (np.exp(a) + np.exp(-a))),
    ("sigmoid", lambda a: np.exp(a) / (1 + np.exp(a))),
    ("softplus", lambda a: np.log(1 + np.exp(a))),
])  # fmt: skip
def test_textbook_formulas_fail_where_they_overflow_or_cancel(name, textbook):
    wrong = []
    for case in cases("transfer"):
        if case.inputs["transfer"] == name and "a" in case.inputs:
            with np.errstate(over="ignore", invalid="ignore"):
                got = {"f": textbook(case.inputs["a"]), "derivative": case.expected["derivative"]}
            if not distance(case, got, case.expected) <= case.tolerance["float64"]:
                wrong.append(case.id)
    assert f"transfer/{name}-extreme" in wrong
    assert name != "softplus" or "transfer/softplus-tail" in wrong
