"""The vectors of LocoProp's relatives: sizes, what they tell apart, and identities."""

from itertools import combinations

import numpy as np
import pytest

from locoprop_ref.oracle import cases, check, generate
from locoprop_ref.oracle.compare import deviations
from locoprop_ref.oracle.conventions import FAMILY, choices
from locoprop_ref.oracle.flags import BY_FLAG
from locoprop_ref.oracle.generate import TOLD_APART
from locoprop_ref.oracle.recipes import all_recipes
from locoprop_ref.oracle.second_source import evaluate, floats
from locoprop_ref.oracle.vectors import FOLDER

ALL = [case for topic in FAMILY for case in cases(topic)]
IDS = {case.id: case for case in ALL}
SETTINGS = ("target_step", "num_code_steps", "num_sweeps", "activation_penalty", "penalty")


def distance(got, expected):
    """The largest deviation in the scale of tolerances; infinite where something has another shape."""
    if any(got[name].shape != value.shape for name, value in expected.items()):
        return np.inf
    return max(np.max(deviations(got[name], value)) for name, value in expected.items())


def with_choices(case, **changed):
    """The case as it comes out with other choices, in float64."""
    values = evaluate(case.topic, choices(case.conventions) | changed, case.inputs, ctx=floats())
    return {name: np.array(value, dtype=np.float64) for name, value in values.items()}


def sizes(case):
    """Every number by which a mistake may divide, or that it may exchange for another one."""
    inputs = case.inputs
    widths = [inputs[name].shape[1] for name in sorted(inputs) if name.startswith("W_")] or [
        next(iter(case.expected.values())).shape[-1]
    ]
    batch = next((inputs[name] for name in ("x", "a", "prediction", "z") if name in inputs), None)
    found = widths if batch is None else [*widths, *batch.shape[-2:]]
    return found + [inputs[name] for name in SETTINGS if name in inputs]


@pytest.mark.parametrize("case", [case for case in ALL if case.topic != "admm"], ids=lambda case: case.id)
def test_no_two_sizes_are_the_same(case):
    if not {"Square", "EqualWidths"} & set(case.flags):
        assert len(set(sizes(case))) == len(sizes(case)), sizes(case)


def test_no_two_sizes_of_admm_are_the_same():
    i = IDS["admm/activation"].inputs
    numbers = [*i["z"].shape, i["z_above"].shape[1], i["activation_penalty"], i["penalty"]]
    numbers.append(IDS["admm/multiplier"].inputs["multiplier_step"])
    assert len(set(numbers)) == len(numbers)


def told_apart(case):
    """Check that every two conventions differ by more than 100 tolerances, or are listed; count the pairs."""
    bound = case.tolerance["float64"]
    flags = [name for name in case.flags if name in BY_FLAG]
    results = {"documented": case.expected} | {n: with_choices(case, **BY_FLAG[n].change) for n in flags}
    pairs = list(combinations(results, 2))
    for first, second in pairs:
        apart = distance(results[first], results[second])
        if (first, second) in case.cannot_tell:
            assert apart <= 2 * bound, (first, second, apart)  # each of the two is rounded
        else:
            assert apart > TOLD_APART * bound, (first, second, apart)
    return len(pairs)


@pytest.mark.parametrize("topic", FAMILY)
def test_conventions_are_told_apart(topic):
    assert told_apart(cases(topic)[-1]) >= 1


@pytest.mark.full
@pytest.mark.parametrize("topic", FAMILY)
def test_conventions_are_told_apart_in_every_case(topic):
    assert sum(told_apart(case) for case in cases(topic)) > len(cases(topic))


def test_nothing_is_left_untold():
    assert not [case.id for case in ALL if case.cannot_tell]


@pytest.mark.parametrize("topic", ["mirror", "admm"])
def test_regenerating_a_topic_gives_the_same_bytes(topic):
    recipes = [recipe for recipe in all_recipes() if recipe.topic == topic]
    fresh = generate.content(generate.document(topic, recipes))
    assert fresh == (FOLDER / f"{topic}.json").read_text(encoding="utf-8")


def test_an_implementation_without_these_topics_is_not_wrong():
    report = check(lambda topic, conventions, inputs: NotImplemented, ALL)
    assert report.ok
    assert {result.status for result in report.results} == {"not covered"}


# identities -----------------------------------------------------------------------------------------


def close(got, expected, atol):
    np.testing.assert_allclose(got, expected, rtol=0, atol=atol)


def test_one_step_of_the_codes_has_geometric_target_steps():
    """I11: c_m = â_m − s^(M−m)/μ g_m, with g from the topic `network`."""
    case = IDS["codes/one-step"]
    i, M = case.inputs, len(case.inputs["transfers"])
    seen = evaluate("network", choices({}), {**i, "x": i["x"][0], "t": i["t"][0]}, ctx=floats())
    y = i["x"][0]
    for m in range(1, M):
        a_hat = y @ i[f"W_{m}"] + i[f"b_{m}"]
        y = np.array(seen[f"y_hat_{m}"])
        step = i["code_lr"] ** (M - m) / i["coupling"]
        close(case.expected[f"code_{m}"], a_hat - step * np.array(seen[f"g_{m}"]), 1e-14)


@pytest.mark.parametrize("name", ["exact-inside"])
def test_a_memory_with_the_ridge_inside_is_weighted_ridge_regression(name):
    """Σ_t ρ^(T−t) ‖X̃_t W̃ − Y_t‖² + ρ^(T−1) ‖W̃ − W̃₀‖²/η, by NumPy's least squares."""
    case = IDS[f"memory/{name}"]
    i, rho = case.inputs, case.inputs["decay"]
    W0 = np.vstack([i["W"], i["b"]])
    rows, right = [], []
    for age, (x, y) in enumerate(zip(i["x"][::-1], i["y_target"][::-1], strict=True)):
        weight = rho ** (age / 2)
        rows.append(weight * np.hstack([x, np.ones((len(x), 1))]))
        right.append(weight * y)
    oldest = (rho ** (len(i["x"]) - 1) / i["weight_step"]) ** 0.5
    rows.append(oldest * np.eye(len(W0)))
    right.append(oldest * W0)
    W = np.linalg.lstsq(np.vstack(rows), np.vstack(right), rcond=None)[0]
    # a least squares problem of condition 10 in float64
    close(np.vstack([case.expected["W"], case.expected["b"]]), W, 1e-13)


def test_many_sweeps_reach_the_exact_solution():
    case = IDS["memory/sweeps-inside"]
    full, inputs = choices(case.conventions), {k: v for k, v in case.inputs.items() if k != "num_sweeps"}
    exact = evaluate("memory", full, inputs)
    swept = evaluate("memory", full, {**inputs, "num_sweeps": 400}, ctx=floats())
    close(np.array(swept["W"]), np.array(exact["W"], dtype=float), 1e-13)


def test_the_difference_vanishes_where_the_target_is_the_output():
    """With γ → 0 difference target propagation asks for what the layers say; plain does not."""
    case = IDS["inverse_target/difference"]
    tiny = {**case.inputs, "target_step": 1e-300}
    seen = evaluate("network", choices({}), case.inputs, ctx=floats())
    full = choices(case.conventions)
    got = evaluate("inverse_target", full, tiny, ctx=floats())
    plain = evaluate("inverse_target", full | {"correction": "plain"}, tiny, ctx=floats())
    for m in (1, 2, 3):
        close(np.array(got[f"y_target_{m}"]), np.array(seen[f"y_hat_{m}"]), 1e-15)
    assert np.abs(np.array(plain["y_target_1"]) - np.array(seen["y_hat_1"])).max() > 0.1


def test_the_pseudo_inverse_removes_the_error_to_first_order():
    """J_m d_m = γ r for every layer: with τ = 0, moving â_m by hd changes â_M by hγr."""
    case = IDS["gauss_newton_target/s-pseudo-inverse"]
    i, h = case.inputs, 1e-6

    def above(a, m):
        for n in range(m, len(i["transfers"])):
            a = np.tanh(a) @ i[f"W_{n + 1}"] + i[f"b_{n + 1}"]
        return a

    a_hat = i["x"] @ i["W_1"] + i["b_1"]
    for m in (1, 2):
        d = a_hat - case.expected[f"y_target_{m}"]
        slope = (above(a_hat + h * d, m) - above(a_hat - h * d, m)) / (2 * h)
        # h² times the third derivative, where d is as large as 10, and rounding of 1e-16/h
        close(slope, i["target_step"] * (above(a_hat, m) - i["t"]), 1e-7)
        a_hat = np.tanh(a_hat) @ i[f"W_{m + 1}"] + i[f"b_{m + 1}"]


def test_mirror_descent_by_its_duals():
    """EG± by asinh, and sums of 1 of normalized EG."""
    case = IDS["mirror/eg-both-signs"]
    i, dual = case.inputs, np.arcsinh(case.inputs["W"] / case.inputs["beta"])
    for g, s, W in zip(i["gradients"], i["rates"], case.expected["W_path"], strict=True):
        dual = dual - s * g
        close(i["beta"] * np.sinh(dual), W, 1e-14)
    close(IDS["mirror/eg-normalized"].expected["W_path"].sum(1), 1.0, 1e-15)


def energy(i, block, value):
    """The terms of ADMM's energy that a block sees; those of single numbers entry by entry."""
    gamma, beta = i.get("activation_penalty"), i.get("penalty")

    def relu(z):
        return np.maximum(z, 0)

    if block == "weights":
        return np.sum((i["a"] @ value["W"] + value["b"] - i["z"]) ** 2)
    if block == "activation":
        off = i["z_above"] - value["a"] @ i["W"] - i["b"]
        return gamma / 2 * np.sum((value["a"] - relu(i["z"])) ** 2) + beta / 2 * np.sum(off**2)
    z = value["z"]
    if block == "hidden":
        return gamma / 2 * (i["a"] - relu(z)) ** 2 + beta / 2 * (z - i["prediction"]) ** 2
    loss = (z - i["t"]) ** 2 / 2 if "squared" in block else np.where(i["t"] > 0, relu(1 - z), relu(z))
    return loss + i["multiplier"] * z + beta / 2 * (z - i["prediction"]) ** 2


@pytest.mark.parametrize("name", ["weights", "activation", "hidden", "output-squared", "output-hinge"])
def test_a_block_of_admm_minimizes_its_energy(name):
    """No other value of a fine grid (single numbers) or of 200 directions (convex blocks) is better."""
    case = IDS[f"admm/{name}"]
    best = energy(case.inputs, case.inputs["block"], case.expected)
    rng = np.random.default_rng(0)
    offsets = np.linspace(-6, 6, 4001) if "z" in case.expected else [1e-3, 0.1, 1.0] * 70
    for offset in offsets:
        moved = {
            k: v + (offset if "z" in case.expected else offset * rng.normal(size=v.shape))
            for k, v in case.expected.items()
        }
        # rounding of energies of some 10 to 100
        assert np.all(energy(case.inputs, case.inputs["block"], moved) >= best - 1e-12)


def test_the_branch_of_a_hidden_number_is_not_the_sign_of_its_prediction():
    case = IDS["admm/hidden"]
    assert np.any((case.expected["z"] > 0) & (case.inputs["prediction"] < 0))
