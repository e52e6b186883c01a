"""Figures of LocoProp's relatives, over the grid of their sliders: against loops and formulas."""

from itertools import product

import naive_predictive
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal, assert_equal

from locoprop_ref import plot
from locoprop_ref.network import backward, forward, initialize
from locoprop_ref.plot import first_wave, moving_codes, online_mistakes, target_slider

STEPS = [0, 5, 10]
METHODS = {"one": [3.0, 2.0, 1.0], "another": [3.0, 0.5, 0.25]}
INVERSES = {"ψ": [2.0, 0.5, 0.4], "χ": [0.5, 1.0, 0.7]}
CODED = initialize((3, 5, 4, 2), transfers=("tanh", "tanh", "identity"), seed=1)
RNG = np.random.default_rng(0)
X, T = RNG.normal(size=(2, 3)), RNG.normal(size=(2, 2))


def grid(*axes, quick):
    """All points of a grid of sliders; but those of `quick` only in the full suite."""
    points = list(product(*axes))
    assert set(quick) <= set(points)
    return [point if point in quick else pytest.param(*point, marks=pytest.mark.full) for point in points]


TARGETS = grid(
    [1e-4, 0.1, 1.0], [0.1, 0.8, 1.0], [1.0, 3.0, 8.0],
    quick={(1e-4, 1.0, 8.0), (1.0, 0.1, 3.0), (0.1, 0.8, 1.0)},
)  # fmt: skip
CODES = grid([1, 20], [0.1, 0.5, 1.0], [0.5, 1.0, 2.0], quick={(1, 0.5, 2.0), (20, 1.0, 0.5), (20, 0.1, 1.0)})
WAVES = grid([0.1, 0.5, 1.0], [0.01, 1.0], quick={(0.5, 1.0), (1.0, 0.01)})


def degrees(one, other):
    cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
    return np.degrees(np.arccos(min(1.0, cosine)))


# ------------------------------ targets between LocoProp's and target propagation's


def weights_above(ratio):
    return target_slider.two_units(ratio)[0].layers[1].W


@pytest.mark.parametrize(("tau", "gamma", "ratio"), TARGETS)
def test_target_displacements(tau, gamma, ratio):
    W, start, goal = weights_above(ratio), np.array([-0.5, 0.8]), np.array([0.6, -0.4])
    # tanh′ = 1/cosh²; the normal equations of ½(1−τ)‖Jd‖² + ½τ‖d‖² − γ r·Jd
    J, r = W.T / np.cosh(start) ** 2, (np.tanh(start) - np.tanh(goal)) @ W
    wanted = {
        value: -gamma * np.linalg.solve((1 - value) * J.T @ J + value * np.eye(2), J.T @ r)
        for value in (tau, 1)
    }
    moves = target_slider.displacements([tau, 1.0], gamma, ratio)
    assert_allclose(moves, list(wanted.values()) * (2 if tau == 1 else 1), atol=1e-11)  # a condition of 1e4
    inverse = target_slider.by_exact_inverses([gamma], ratio)[0]
    assert_allclose(np.tanh(start + inverse) @ W, np.tanh(start) @ W - gamma * r, atol=1e-14)
    figure = plot.target_displacements(tau, gamma, ratio)
    to_both = [degrees(moves[0], end) for end in (moves[1], inverse)]
    assert f"{to_both[0]:.0f}° from LocoProp's direction" in figure.get_suptitle()
    assert f"{to_both[1]:.0f}° from target propagation's" in figure.get_suptitle()
    plane, right = figure.axes
    arrows = [[quiver.U[0], quiver.V[0]] for quiver in plane.collections if hasattr(quiver, "U")]
    assert_allclose(arrows, [moves[1], moves[0]], atol=1e-14)
    # nothing leaves the picture
    for line in plane.lines:
        for values, (low, high) in zip(line.get_data(), (plane.get_xlim(), plane.get_ylim()), strict=True):
            assert np.min(values) > low and np.max(values) < high
    for line, end in zip(right.lines, (moves[1], inverse), strict=False):
        taus, drawn = line.get_data()
        nearest = np.argmin(np.abs(np.log(taus / tau)))
        assert_allclose(
            np.degrees(np.arccos(np.clip(drawn[nearest], -1, 1))), degrees(moves[0], end), atol=1e-4
        )
        assert np.min(drawn) > right.get_ylim()[0]


def test_the_singular_values_above():
    for ratio in (1.0, 2.5, 8.0):
        assert_allclose(np.linalg.svd(weights_above(ratio), compute_uv=False), [1, 1 / ratio], atol=1e-15)


def test_an_exact_inverse_of_the_whole_error_leads_to_the_goal():
    for ratio in (1.0, 8.0):
        assert_allclose(target_slider.by_exact_inverses([1.0], ratio)[0], [1.1, -1.2], atol=1e-13)


# ------------------------------ learning by step


def test_learning_by_step():
    figure = plot.learning_by_step(STEPS, METHODS, INVERSES, metric="test error")
    left, right = figure.axes
    for panel, curves in ((left, METHODS), (right, INVERSES)):
        for line, (name, values) in zip(panel.lines, curves.items(), strict=False):
            assert_equal(line.get_label(), name)
            assert_array_equal(line.get_xydata().T, [STEPS, values])
    assert_equal(figure.get_suptitle(), "test error after 10 batches: lowest another, 0.25; highest one, 1")
    assert_equal(right.get_title(), "reconstruction error: 0.4 to 0.7 at the end")


# ------------------------------ codes


def loops(K, s, mu):
    """The codes before and after each step, by the gradients written out; both c_2 and then c_1."""
    network, t = moving_codes.example()
    (W1, b1), (W2, b2), (W3, b3) = ((layer.W, layer.b) for layer in network.layers)
    c1 = np.array([0.5, -1.0, 0.8]) @ W1 + b1
    c2 = np.tanh(c1) @ W2 + b2
    upper, lower = [c2], [c1]
    for _ in range(K):
        c2 = c2 - s / mu * (np.tanh(c2) @ W3 + b3 - t[0]) @ W3.T / np.cosh(c2) ** 2
        upper.append(c2)
    for _ in range(K):
        c1 = c1 - s * (np.tanh(c1) @ W2 + b2 - c2) @ W2.T / np.cosh(c1) ** 2
        lower.append(c1)
    return np.array(lower), np.array(upper)


@pytest.mark.parametrize(("K", "s", "mu"), CODES)
def test_codes_moving(K, s, mu):
    wanted = loops(K, s, mu)
    for path, loop in zip(moving_codes.code_paths(K, s, mu), wanted, strict=True):
        assert_allclose(path, loop, atol=1e-12)  # twenty steps, some of which magnify rounding
    figure = plot.codes_moving(K, s, mu)
    network, t = moving_codes.example()
    g = backward(network, forward(network, moving_codes.X), t)
    for panel, number, gamma in zip(figure.axes, (2, 1), (s / mu, s**2 / mu), strict=True):
        steps, start, goal = panel.lines
        assert_allclose(steps.get_xydata(), wanted[number - 1], atol=1e-12)
        assert_array_equal(start.get_xydata()[0], steps.get_xydata()[0])
        assert_allclose(goal.get_xydata()[0], wanted[number - 1][0] - gamma * g[number - 1][0], atol=1e-14)
        if K == 1:
            assert_allclose(goal.get_xydata()[0], steps.get_xydata()[1], atol=1e-14)
        assert np.max(np.abs(np.vstack([line.get_xydata() for line in panel.lines]))) < panel.get_xlim()[1]
    # what is left of ½‖tanh(c₂)W₃ + b₃ − t‖², and of ½‖tanh(c₁)W₂ + b₂ − c₂‖²
    left = []
    for layer, codes, goal in ((2, wanted[1], t), (1, wanted[0], wanted[1][-1])):
        first, last = (network.layers[layer].pre_activation(np.tanh(c)) - goal for c in codes[[0, -1]])
        share = np.sum(last**2) / np.sum(first**2)
        left.append(f"{100 * share:.2g} %" if share >= 0.001 else "< 0.1 %")
    said = f": {left[0]} of the objective of layer 2 is left, {left[1]} of layer 1's"
    assert said in figure.get_suptitle()


# ------------------------------ the first wave


@pytest.mark.parametrize(("s", "nudge"), WAVES)
def test_errors_arriving(s, nudge):
    g = backward(CODED, forward(CODED, X), T)
    layers = [(layer.W.tolist(), layer.b.tolist(), (layer.transfer.name, None)) for layer in CODED.layers]
    held = (nudge * g[-1]).tolist()
    wanted = naive_predictive.first_errors(layers, X.tolist(), held, s)
    history = first_wave.wave(CODED, X, T, step=s, nudge=nudge, times=3)
    for m in range(3):
        assert_allclose(history[2 - m][m], wanted[m], atol=1e-15)
    figure = plot.errors_arriving(CODED, X, T, step=s, nudge=nudge)
    table, bars = figure.axes
    texts = {text.get_position(): float(text.get_text()) for text in table.texts}
    for m, k in np.ndindex(3, 3):
        expected = np.linalg.norm(history[k][m]) / np.linalg.norm(nudge * g[m])
        assert_allclose(
            texts[k, m], 0 if m + k < 2 else expected, rtol=0.06, atol=1e-15
        )  # one digit below 0.01
        if m + k == 2:
            assert_allclose(expected, s ** (2 - m), rtol=1e-12)
    converged = first_wave.settled(CODED, X, T, nudge)
    far = [
        np.linalg.norm(e + nudge * g_m) / np.linalg.norm(nudge * g_m)
        for e, g_m in zip(converged, g, strict=True)
    ]
    widths = [bar.get_width() for bar in bars.patches]
    assert_allclose(widths[:3], far, rtol=1e-12)
    assert_allclose(widths[3:], 0, atol=1e-12)
    title = figure.get_suptitle()
    assert title.startswith(
        "the first wave brings " + ("BackProp's" if s == 1 else f"{s:g}ᴹ⁻ᵐ of BackProp's")
    )
    assert title.endswith(f"the converged error is {100 * min(far):.0f} to {100 * max(far):.0f} % off")


def test_a_converged_error_is_shared_by_all_layers():
    """ε_m = −J_mᵀ(Σ J_kJ_kᵀ)⁻¹ r to first order, with J by hand for tanh; and nothing moves any more."""
    trace, nudge = forward(CODED, X), 1e-4
    g = backward(CODED, trace, T)
    for b in range(2):
        slopes = [1 / np.cosh(a[b]) ** 2 for a in trace.a_hat]
        J = [np.eye(2)]
        for m in (1, 0):
            J.insert(0, J[0] @ CODED.layers[m + 1].W.T * slopes[m])
        shared = np.linalg.solve(sum(one @ one.T for one in J), nudge * g[-1][b])
        for e, one in zip(first_wave.settled(CODED, X, T, nudge), J, strict=True):
            # the next order is nudge times smaller
            assert_allclose(e[b], -one.T @ shared, atol=1e-3 * np.linalg.norm(shared))


# ------------------------------ Perceptron and Winnow


@pytest.mark.parametrize("relevant", [1, 3, 15])
def test_mistakes_against_the_rules_as_they_are_written(relevant):
    x, labels = online_mistakes.stream(relevant, 20, seed=1)
    assert_equal(set(np.unique(x)), {-1.0, 1.0})
    for row, y in zip(x[:50], labels, strict=False):
        assert y * sum(row[:relevant]) > 0
    w, v, counts = np.zeros(relevant + 20), np.ones(relevant + 20), [0, 0]
    for row, y in zip(x[:300], labels, strict=False):
        if (1 if w @ row >= 0 else -1) != y:
            w, counts[0] = w + y * row, counts[0] + 1
        if (1 if v @ row >= 0 else -1) != y:
            v, counts[1] = v * 2.0 ** (y * row), counts[1] + 1
    assert_equal(
        [online_mistakes.mistakes(name, x[:300], labels[:300]) for name in ("Perceptron", "Winnow")], counts
    )


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(online_mistakes, "EXAMPLES", 100)
    monkeypatch.setattr(online_mistakes, "IRRELEVANT", (2, 9))


@pytest.mark.parametrize("relevant", [1, 3])
def test_perceptron_and_winnow(short, relevant):
    figure = plot.perceptron_and_winnow(relevant)
    (axes,) = figure.axes
    for line, name in zip(axes.lines, ("Perceptron", "Winnow"), strict=True):
        means = [
            np.mean(
                [
                    online_mistakes.mistakes(name, *online_mistakes.stream(relevant, n, seed))
                    for seed in (0, 1)
                ]
            )
            for n in (2, 9)
        ]
        assert_array_equal(line.get_xydata().T, [[2, 9], means])
        assert f"{name} × {means[1] / means[0]:.3g}" in figure.get_suptitle()


# ------------------------------ all of them

EVERY = {
    "targets": plot.target_displacements,
    "steps": lambda: plot.learning_by_step(STEPS, METHODS, INVERSES),
    "codes": plot.codes_moving,
    "wave": lambda: plot.errors_arriving(CODED, X, T),
    "mistakes": plot.perceptron_and_winnow,
}


@pytest.mark.parametrize("draw", EVERY.values(), ids=EVERY)
def test_figures_have_words_titles_and_the_same_bytes(draw, short):
    figure = draw()
    assert len(plot.alt_text(figure)) > 60 and figure.get_suptitle()
    assert all(panel.get_xlabel() and panel.get_title() for panel in figure.axes)
    assert_equal(plot.rendered(figure, dpi=40) == plot.rendered(draw(), dpi=40), True)


WRONG = {
    "tau": (lambda: plot.target_displacements(tau=2.0), "tau must be at least 0.0001 and at most 1, got 2"),
    "gamma": (
        lambda: plot.target_displacements(target_step=0.0), "target_step must be above 0 and at most 1"
    ),
    "ratio": (lambda: plot.target_displacements(ratio=0.5), "ratio must be at least 1, got 0.5"),
    "no method": (
        lambda: plot.learning_by_step(STEPS, {}, INVERSES), "methods must hold at least one curve, got none"
    ),
    "no inverse": (
        lambda: plot.learning_by_step(STEPS, METHODS, {}), "inverses must hold at least one curve, got none"
    ),
    "too few": (
        lambda: plot.learning_by_step(STEPS, {"a": [1.0]}, INVERSES),
        "methods['a'] must hold 3 values, one for each step, got 1",
    ),
    "zero": (
        lambda: plot.learning_by_step(STEPS, METHODS, {"ψ": [1.0, 0.0, 2.0]}),
        "inverses['ψ'] must be positive",
    ),
    "K": (lambda: plot.codes_moving(0), "num_steps must be an integer of at least 1, got 0"),
    "s": (lambda: plot.codes_moving(code_lr=0.0), "code_lr must be a positive number, got 0.0"),
    "mu": (lambda: plot.codes_moving(coupling=-1.0), "coupling must be a positive number, got -1.0"),
    "step": (lambda: plot.errors_arriving(CODED, X, T, step=1.5), "step must be at most 1, got 1.5"),
    "nudge": (lambda: plot.errors_arriving(CODED, X, T, nudge=0.0), "nudge must be a positive number"),
    "even": (lambda: plot.perceptron_and_winnow(4), "relevant must be odd, so that there is"),
    "rule": (lambda: online_mistakes.mistakes("Winow", X, T), "name must be one of Perceptron, Winnow"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "sentence"), WRONG.values(), ids=WRONG)
def test_bad_input_gets_one_sentence(call, sentence):
    with pytest.raises((ValueError, TypeError)) as error:
        call()
    assert sentence in str(error.value) and "\n" not in str(error.value)
