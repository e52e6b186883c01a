"""The notebooks' figures over the grid of their sliders: numbers on the axes against a second computation."""

import html
import inspect
import io
import re
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from matplotlib.image import imread
from numpy.testing import assert_allclose, assert_array_equal, assert_equal

from locoprop_ref import LocalProblem, initialize, newton, optimizer, plot, transfer
from locoprop_ref.plot.against_default import differences
from locoprop_ref.plot.listing import listing
from locoprop_ref.plot.notebook import Picture
from locoprop_ref.plot.one_unit import half_dead_problems, minimizers, solutions
from locoprop_ref.plot.update_path import angle, update_path

RNG = np.random.default_rng(0)
X, W0 = RNG.normal(size=(6, 3)), RNG.normal(size=(3, 2))
Y = X @ W0 + RNG.normal(size=(6, 2))
TANH = LocalProblem(X, np.tanh(X @ W0) + 0.1 * RNG.normal(size=(6, 2)), transfer("tanh"), W0, 1.0)
SQUARED = LocalProblem(X, Y, transfer("identity"), W0)


def numbers_in(figure, *, skip=()):
    """The numbers of a figure's title, without those of `skip`."""
    title = figure.get_suptitle().replace("−", "-")
    found = re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?", title)
    return [float(number) for number in found if float(number) not in skip]


def naive_steps(s, K, f=lambda a: a, y=Y, eta=np.inf):
    """Weights after each of K gradient steps, written out."""
    W, steps = W0.copy(), []
    for _ in range(K):
        W = W - s * (X.T @ (f(X @ W) - y) + (W - W0) / eta)
        steps.append(W)
    return steps


# ------------------------------ angle and length


@pytest.mark.parametrize(("s", "K"), list(product([1e-3, 0.05, 0.1], [1, 2, 20])))
def test_update_path_against_a_loop(s, K):
    angles, lengths = update_path(SQUARED, local_lr=s, num_local_steps=K)
    first = X.T @ (X @ W0 - Y)
    for W, one_angle, length in zip(naive_steps(s, K), angles, lengths, strict=True):
        change = W - W0
        cosine = -np.sum(change * first) / np.linalg.norm(change) / np.linalg.norm(first)
        # the arc cosine loses half the digits near 1
        assert_allclose(one_angle, np.degrees(np.arccos(min(cosine, 1.0))), atol=1e-5)
        assert_allclose(length, np.linalg.norm(change) / np.linalg.norm(s * first), rtol=1e-12)
    figure = plot.update_against_gradient({"S": SQUARED}, local_lr=s, num_local_steps=K)
    turn, reach = figure.axes
    assert_array_equal(turn.lines[0].get_xydata().T, [np.arange(1, K + 1), angles])
    assert_array_equal(reach.lines[0].get_ydata(), lengths)
    assert_allclose(reach.lines[1].get_ydata(), np.arange(1, K + 1))  # the frozen gradient


def test_small_and_right_angles():
    assert_allclose(angle(np.array([1.0, 0.0]), np.array([1.0, 1e-9])), np.degrees(1e-9), rtol=1e-6)
    assert_allclose(angle(np.array([1.0, 0.0]), np.array([0.0, 2.0])), 90)
    assert_allclose(angle(np.array([1.0, 0.0]), np.array([-3.0, 0.0])), 180)
    assert_equal(angle(np.zeros(2), np.ones(2)), 0.0)


# ------------------------------ two weights


@pytest.mark.parametrize(
    ("eta", "s", "K", "rho"), list(product([0.03, 5.0, 300.0], [0.05, 1.0], [1, 60], [-0.95, 0.0, 0.9]))
)
def test_preconditioned_step(eta, s, K, rho):
    figure = plot.preconditioned_step(eta, s, K, rho)
    (axes,) = figure.axes
    H, start, goal = np.array([[1, rho], [rho, 1]]), np.array([-1.5, 1.0]), np.array([1.0, 0.5])
    slope = H @ (start - goal)
    along, exact = (np.array([arrow.U[0], arrow.V[0]]) for arrow in axes.collections[-2:])
    assert_allclose(along, -K * s * slope, atol=1e-13)
    assert_allclose(exact, -np.linalg.solve(H + np.eye(2) / eta, slope), atol=1e-13)
    W, path = start, [start]
    for _ in range(K):
        W = W - s * H @ (W - goal)
        path.append(W)
    homing, steps = axes.lines[:2]
    assert_allclose(steps.get_xydata(), path, atol=1e-12)
    assert_allclose(homing.get_xydata()[-1], goal, atol=0.05)
    assert f"{rho:g}".replace("-", "−") in axes.get_title()
    end = start + along
    leaves = not (-2.4 <= end[0] <= 2.4 and -1.6 <= end[1] <= 2.2)
    assert f"K times the first step{leaves * ', beyond the frame'}" in axes.get_legend_handles_labels()[1]
    # the title's distances, to the three digits that it has
    ends = [np.linalg.norm(point - goal) for point in (start, W, start + exact)]
    assert_allclose(numbers_in(figure, skip={K}), ends, rtol=6e-3, atol=1e-15)


# ------------------------------ filters


@pytest.mark.parametrize(
    ("share", "K", "eta", "decay"),
    list(product([0.1, 1.0, 1.9], [1, 2, 10, 100], [1e-4, 1.0], ["constant", "authors"])),
)
def test_filters(share, K, eta, decay):
    values = np.array([0.0, 1e-3, 0.5, 7.0])
    s = share / 7.0
    figure = plot.inner_step_filters(
        values, local_lr=s, num_local_steps=K, weight_step=eta, local_decay=decay
    )
    gain, way = figure.axes
    rates = [s * (max(1 - k / K, 0.25) if decay == "authors" else 1.0) for k in range(K)]
    curves = [line for line in gain.lines if line.get_linestyle() != "None"]
    lam = curves[0].get_xdata()
    left = np.ones_like(lam)
    for rate in rates:
        left = left * (1 - rate * lam)
    # 1 − Π loses digits where the product is near 1: absolute to rounding over the least eigenvalue shown
    assert_allclose(curves[0].get_ydata() * lam, 1 - left, atol=1e-12)
    assert_allclose(curves[1].get_ydata(), eta / (1 + eta * lam), rtol=1e-12)
    assert_allclose(curves[2].get_ydata(), np.full_like(lam, sum(rates)), rtol=1e-12)
    assert_array_equal(way.lines[0].get_ydata(), lam * curves[0].get_ydata())
    points = [line for line in gain.lines if line.get_linestyle() == "None"]
    assert_array_equal(points[0].get_xdata(), [7e-6, 1e-3, 0.5, 7.0])
    # the title says how much more the least eigenvalue shown counts than the largest
    shown = np.array([7e-6, 7.0])
    remains = np.prod([1 - rate * shown for rate in rates], axis=0)
    steps, exact = (1 - remains) / shown, eta / (1 + eta * shown)
    assert_allclose(numbers_in(figure), [steps[0] / steps[1], exact[0] / exact[1]], rtol=6e-3)
    # steps below 2/λ converge, and every filter, from η and Σs_k to about 1/λ, stays inside its panel
    low, high = gain.get_ylim()
    for curve in curves:
        assert_array_equal((low < curve.get_ydata()) & (curve.get_ydata() < high), np.ones(lam.size, bool))


# ------------------------------ local losses


@pytest.mark.parametrize("K", [1, 5, 100])
def test_local_losses(K):
    exact, _ = newton(TANH)
    rules = {
        "gradient steps": (optimizer("sgd"), 0.05, "constant"),
        "momentum": (optimizer("momentum"), 0.01, "authors"),
    }
    figure = plot.local_loss_falling(TANH, exact, rules, num_local_steps=K)
    loss, gap = figure.axes

    def objective(W):
        a = X @ W
        return np.sum(np.log(np.cosh(a)) - TANH.y_target * a) + np.sum((W - W0) ** 2) / 2

    expected = [objective(W) for W in (W0, *naive_steps(0.05, K, np.tanh, TANH.y_target, 1.0))]
    assert_array_equal(loss.lines[0].get_xdata(), np.arange(K + 1))
    # a dozen terms of size 1
    assert_allclose(loss.lines[0].get_ydata(), expected, atol=1e-12)
    assert_allclose(loss.lines[2].get_ydata()[0], objective(exact), atol=1e-12)
    assert_allclose(gap.lines[0].get_ydata(), np.array(expected) - objective(exact), atol=1e-12)
    # the title says the share that is left, to three digits
    said = re.search(r"gradient steps (\S+) %", " ".join(figure.get_suptitle().split()))[1]
    share = (expected[-1] - objective(exact)) / (expected[0] - objective(exact))
    assert_allclose(float(said), 100 * share, rtol=5e-3)


# ------------------------------ one unit


@pytest.mark.parametrize(("a_hat", "gamma"), list(product([0.0, 0.5, 2.5, 5.0], [1.0, 5.0, 20.0])))
def test_saturated_unit(a_hat, gamma):
    s, m = minimizers(a_hat, gamma)
    slope = 1 / np.cosh(a_hat) ** 2
    assert_allclose(s, a_hat - gamma * 0.2 * slope, atol=1e-14)
    y = np.tanh(a_hat) - gamma * 0.2 * slope
    if y > -1:
        # arctanh near 1 magnifies the rounding of y by cosh²
        assert_allclose(m, np.arctanh(y), atol=1e-15 * np.cosh(a_hat) ** 2 + 1e-12)
    else:
        assert_equal(m, -np.inf)
    figure = plot.saturated_unit(a_hat, gamma)
    moved = [a_hat - goal for goal in (s, m) if np.isfinite(goal)]
    assert_allclose(numbers_in(figure), [a_hat, *moved], rtol=6e-3, atol=1e-12)
    assert ("M moves it without end" in figure.get_suptitle()) == (not np.isfinite(m))
    left, right = figure.axes
    marked = [line.get_xdata()[0] for line in left.lines if len(line.get_xdata()) == 1]
    assert_allclose(marked, [value for value in (s, m) if np.isfinite(value)] + [a_hat], atol=1e-12)
    # both objectives, above their value at â₀: written out; terms of size 100
    z = left.lines[0].get_xdata()
    assert_allclose(left.lines[0].get_ydata(), (z - a_hat) * (z + a_hat - 2 * s) / 2, atol=1e-12)
    matching = np.log(np.cosh(z) / np.cosh(a_hat)) - y * (z - a_hat)
    m_curve = [line for line in left.lines if len(line.get_xdata()) > 1][1]
    assert_allclose(m_curve.get_ydata(), matching, atol=1e-12)
    starts, moves = right.lines[0].get_data()
    assert_allclose(moves, gamma * 0.2 / np.cosh(starts) ** 2, atol=1e-14)


@pytest.mark.parametrize(
    ("shift", "gamma", "eta"), list(product([-2.5, 0.25, 1.0, 2.5], [0.5, 4.0], [0.01, 10.0, 1000.0]))
)
def test_half_dead_unit(shift, gamma, eta):
    x, a = np.linspace(-2, 2, 9), np.linspace(-2, 2, 9) - shift
    on = a > 0
    problems = half_dead_problems(shift, gamma, eta)
    solved = solutions(problems)
    rows = np.stack([x, np.ones(9)], axis=1)
    start = np.array([1.0, -shift])
    # S: plain least squares with the proximal term as two more rows
    stacked = np.vstack([rows, np.eye(2) / np.sqrt(eta)])
    goals = np.concatenate([a + gamma * on, start / np.sqrt(eta)])
    assert_allclose(solved["S"][:, 0], np.linalg.lstsq(stacked, goals, rcond=None)[0], atol=1e-10)
    # M: the gradient of its convex objective vanishes
    W = solved["M"][:, 0]
    residual = np.maximum(rows @ W, 0) - (np.maximum(a, 0) + gamma * on)
    # sums of nine numbers of size 10, solved to 100 eps
    assert_allclose(rows.T @ residual + (W - start) / eta, 0, atol=1e-11)
    figure = plot.half_dead_unit(shift, gamma, eta)
    if on.any():
        goals = (a + gamma)[on]
        outputs = [np.maximum(rows @ solved[name][:, 0], 0)[on] for name in "SM"]
        missed = [np.sqrt(np.mean((y - goals) ** 2)) for y in outputs]
        assert_allclose(numbers_in(figure), [9 - on.sum(), 9, *missed], rtol=6e-3, atol=1e-9)
    else:
        assert "neither S nor M changes it" in figure.get_suptitle()
    for panel, name in zip(figure.axes, "SM", strict=True):
        assert_allclose(panel.lines[0].get_ydata(), a.reshape(-1, 1)[:, 0], atol=1e-15)
        assert_allclose(np.ravel(panel.lines[1].get_ydata()), rows @ solved[name][:, 0], atol=1e-12)
        assert_allclose(panel.lines[2].get_xydata()[:, 1], (a + gamma)[on], atol=1e-15)
    # where the unit is off, S has targets, and M only the region below 0
    for_s, for_m = figure.axes
    assert_array_equal(for_s.lines[3].get_xydata(), np.stack([x, a], axis=1)[~on])
    assert_equal((len(for_s.collections), len(for_s.lines), len(for_m.lines)), (0, 5, 4))
    assert_equal(len(for_m.collections), int(not on.all()))


# ------------------------------ learned functions


@pytest.mark.parametrize("count", [1, 2, 4])
def test_learned_functions(count):
    x = np.linspace(-1, 1, 5)[:, None]
    t = np.abs(x)
    # a constant c misses |x| = 1, ½, 0, ½, 1 by the root of ((1 − c)² + (½ − c)² + c² + …)/5
    constants = [0.6, 1.0, 0.0, -2.0][:count]
    missed = [np.sqrt((2 * (1 - c) ** 2 + 2 * (0.5 - c) ** 2 + c**2) / 5) for c in constants]
    outputs = {f"always {c}": np.full_like(t, c) for c in constants}
    figure = plot.learned_functions(x, t, outputs)
    assert_allclose(numbers_in(figure), missed, rtol=6e-3)
    (panel,) = figure.axes
    labels, *curves = panel.lines
    assert_array_equal(labels.get_xydata(), np.hstack([x, t]))
    assert_array_equal([line.get_ydata() for line in curves], np.array(constants)[:, None] * np.ones(5))
    # the legend, a line for each curve with its number, covers no curve
    figure.draw_without_rendering()
    legend = panel.get_legend()
    found = [float(text.get_text().rpartition(" ")[2]) for text in legend.get_texts()[1:]]
    assert_allclose(found, missed, rtol=6e-3)
    highest = max(1.0, *constants)
    assert legend.get_window_extent().y0 > panel.transData.transform((0, highest))[1]


def test_a_function_that_is_learned_exactly_can_be_drawn():
    x = np.linspace(0, 1, 3)[:, None]
    figure = plot.learned_functions(x, 0 * x, {"zero": 0 * x})
    assert_equal(numbers_in(figure), [0.0])


# ------------------------------ an option against its default


def networks(*scales):
    """Networks of two layers whose weights differ from the first one's by a multiple of ones."""
    drawn = initialize((3, 2, 4), transfers=["tanh", "identity"], seed=0)
    return [
        replace(drawn, layers=tuple(replace(layer, W=layer.W + scale) for layer in drawn.layers))
        for scale in scales
    ]


def test_differences_are_shares_of_the_way_of_the_default():
    start, theirs, ours = networks(0.0, 0.5, 0.8)
    # all weights of W, and none of b, are 0.3 apart and went 0.5
    assert_allclose(differences(ours, theirs, start), [0.6, 0.6], rtol=1e-12)
    assert_array_equal(differences(start, start, start), [0.0, 0.0])
    assert_array_equal(differences(ours, start, start), [np.inf, np.inf])


@pytest.mark.parametrize(("first", "last"), list(product([0.0, 0.5, 0.7], [1.0, 3.0])))
def test_against_default(first, last):
    ours, theirs = networks(0.0, first, last), networks(0.0, 0.5, 1.0)
    figure = plot.against_default(ours, theirs, ([9.0, 8.0, 7.0], [9.0, 8.5, 6.0]), "changed")
    left, right = figure.axes
    shares = [100 * abs(first - 0.5) / 0.5, 100 * abs(last - 1.0)]
    assert_allclose(numbers_in(figure), [8.0, 8.5, shares[0]], rtol=6e-3, atol=1e-9)
    assert_array_equal([line.get_ydata() for line in left.lines], [[9.0, 8.0, 7.0], [9.0, 8.5, 6.0]])
    heights = [bar.get_height() for bar in right.patches]
    assert_allclose(heights, [shares[0]] * 2 + [shares[1]] * 2, rtol=1e-9, atol=1e-9)


def test_reference_lines_are_drawn_in_both_panels_and_named():
    rows = [{"epoch": n, "train": {"ce": 3.0 - n}, "test": {"ce": 1.0}, "step_seconds": 1.0} for n in (0, 1)]
    run = {"config": {"method": "backprop"}, "data": {"name": "curves"}, "epochs": rows}
    figure = plot.training_curves([run], references={"always the mean image": 2.5})
    for panel in figure.axes:
        assert [2.5, 2.5] in [list(line.get_ydata()) for line in panel.lines]
    assert "always the mean image: 2.5" in [t.get_text() for t in figure.axes[0].get_legend().get_texts()]
    assert "always the mean image, 2.5" in plot.alt_text(figure)


# ------------------------------ libraries


def test_library_comparison():
    figure = plot.library_comparison(
        {"numpy": 0.002, "torch": 0.01}, {"numpy": 0.0, "torch": 1e-13}, bound=1e-10
    )
    left, right = figure.axes
    assert_allclose([bar.get_width() for bar in left.patches], [2, 10])
    assert_allclose([bar.get_width() for bar in right.patches], [1e-17, 1e-13])
    assert_equal(right.get_xlim()[0], 1e-17)  # where the axis begins: no bar is seen for equal numbers
    assert_equal([text.get_text() for text in left.get_yticklabels()], ["numpy", "torch"])
    assert "torch: 10 ms, difference 1e-13" in plot.alt_text(figure)
    assert figure.get_suptitle().endswith("they agree to within 1e-13")
    equal = plot.library_comparison({"numpy": 0.002}, {"numpy": 0.0}, bound=1e-10)
    assert equal.get_suptitle().endswith("their numbers are equal")


# ------------------------------ how a notebook shows things


def test_source_is_the_packages_own():
    text = plot.source_of(newton, docstring=True)
    assert_equal(text, inspect.getsource(newton).rstrip())
    short = plot.source_of(newton)
    lines = inspect.getsource(newton).splitlines()
    assert all(line in lines for line in short.splitlines())
    assert_equal('"""' in short, False)
    assert len(short.splitlines()) < len(lines)
    both = plot.source_of(LocalProblem.value, LocalProblem.gradient)
    assert both.startswith("def value(") and "\n\ndef gradient(" in both
    data = plot.source(newton)._repr_mimebundle_()
    assert_equal(data["text/markdown"], f"```python\n{short}\n```")
    assert_equal((data["text/plain"], plain(data["text/html"])), (short, short))


def plain(listing):
    """The text of a listing in HTML, without its last end of line."""
    return html.unescape(re.sub("<[^>]*>", "", listing)).removesuffix("\n")


@pytest.mark.parametrize(
    "code",
    ["if a < b and c > d:  # X̃ᵀX̃ < 1 & more\n    s = '<b>&amp;'", "def f(W̃):\n    return 1e-5", '"""é"""'],
)
def test_a_listing_says_what_the_source_says(code):
    found = listing(code)
    assert_equal(plain(found), code)
    # letters with a mark above them, and no others, are in a font of text
    marked = re.findall('<span style="font-family: sans-serif">(.*?)</span>', found)
    assert_equal(marked, re.findall("[XW]\u0303", code))
    assert found.startswith('<pre style="white-space: pre; overflow-x: auto;')


def test_sliders_redraw_when_they_are_released(monkeypatch):
    widgets = pytest.importorskip("ipywidgets", reason="ipywidgets is not installed")
    shown = []
    monkeypatch.setattr(widgets, "interact", lambda draw, **controls: shown.append((draw, controls)))
    slider, menu = widgets.FloatSlider(value=1.0), widgets.Dropdown(options=["a", "b"])
    assert slider.continuous_update
    plot.interact(len, eta=slider, name=menu, K=(1, 5))
    assert_equal(shown, [(len, {"eta": slider, "name": menu, "K": (1, 5)})])
    assert not slider.continuous_update


def test_a_button_waits_until_it_is_pressed():
    widgets = pytest.importorskip("ipywidgets", reason="ipywidgets is not installed")
    called = []

    def draw(K):
        called.append(K)

    plot.interact(draw, button="Train", K=widgets.IntSlider(value=3))
    assert_equal((called, draw.widget.manual_button.description), ([], "Train"))
    draw.widget.manual_button.click()
    assert_equal(called, [3])
    with pytest.raises(TypeError, match=r"^button must be the words on a button, or None, got int$"):
        plot.interact(draw, button=3, K=widgets.IntSlider(value=3))


def test_a_picture_brings_its_words():
    figure = plot.matching_loss_at("tanh")
    picture = plot.show(figure)
    data, metadata = picture._repr_mimebundle_()
    assert isinstance(picture, Picture)
    assert_equal(imread(io.BytesIO(data["image/png"])).shape[:2], (376, 800))
    assert_equal((data["text/plain"], metadata["image/png"]["alt"]), (plot.alt_text(figure),) * 2)
    figure.set_label('less < "more"')
    assert 'alt="less &lt; &quot;more&quot;"' in plot.show(figure)._repr_mimebundle_()[0]["text/html"]


EVERY = {
    "update": lambda: plot.update_against_gradient({"M": TANH}, local_lr=0.1, num_local_steps=5),
    "valley": plot.preconditioned_step,
    "filters": lambda: plot.inner_step_filters([1.0, 2.0], local_lr=0.1, num_local_steps=5, weight_step=1.0),
    "against": lambda: plot.against_default(networks(0, 1), networks(0, 2), ([3.0, 2.0], [3.0, 1.0]), "m"),
    "losses": lambda: plot.local_loss_falling(
        TANH, W0, {"m": (optimizer("sgd"), 0.1, "constant")}, num_local_steps=3
    ),
    "saturated": plot.saturated_unit,
    "half dead": plot.half_dead_unit,
    "learned": lambda: plot.learned_functions(X[:, :1], Y[:, :1], {"a": X[:, 1:2], "b": X[:, 2:3]}),
    "libraries": lambda: plot.library_comparison({"numpy": 1.0}, {"numpy": 0.0}, bound=1e-9),
}


@pytest.mark.parametrize("draw", EVERY.values(), ids=EVERY)
def test_figures_have_words_titles_and_the_same_bytes(draw):
    figure = draw()
    assert len(plot.alt_text(figure)) > 60 and figure.get_suptitle()
    assert all(panel.get_xlabel() and panel.get_title() for panel in figure.axes)
    assert_equal(plot.rendered(figure) == plot.rendered(draw()), True)


WRONG = {
    "no problem": (
        lambda: plot.update_against_gradient({}, local_lr=0.1, num_local_steps=1),
        "problems must hold at least one local problem, got none",
    ),
    "rate": (
        lambda: plot.update_against_gradient({"S": SQUARED}, local_lr=0.0, num_local_steps=1),
        "local_lr must be a positive number, got 0.0",
    ),
    "correlation": (lambda: plot.preconditioned_step(correlation=1.0), "correlation must be above -1"),
    "eta": (lambda: plot.preconditioned_step(weight_step=-1.0), "weight_step must be a positive number"),
    "eigenvalues": (
        lambda: plot.inner_step_filters([-1.0, 1.0], local_lr=0.1, num_local_steps=1, weight_step=1.0),
        "eigenvalues must be at least 0, one of them positive",
    ),
    "no eigenvalue": (
        lambda: plot.inner_step_filters([], local_lr=0.1, num_local_steps=1, weight_step=1.0),
        "eigenvalues must be at least 0, one of them positive",
    ),
    "no rule": (
        lambda: plot.local_loss_falling(TANH, W0, {}, num_local_steps=1),
        "rules must hold at least one local optimizer, got none",
    ),
    "saturation": (lambda: plot.saturated_unit(-1.0), "a_hat must be a finite number of at least 0"),
    "gamma": (lambda: plot.saturated_unit(1.0, 0.0), "target_step must be a positive number, got 0.0"),
    "shift": (lambda: plot.half_dead_unit("a"), "shift must be a number, got 'a'"),
    "libraries": (
        lambda: plot.library_comparison({"numpy": 1.0}, {"jax": 1.0}, bound=1.0),
        "difference must be of the libraries numpy, got jax",
    ),
    "no output": (
        lambda: plot.learned_functions(X[:, :1], Y[:, :1], {}),
        "outputs must hold the outputs of at least one network, got none",
    ),
    "output": (
        lambda: plot.learned_functions(X[:, :1], Y[:, :1], {"a": X}),
        "outputs['a'] must have shape (6, 1), got (6, 3)",
    ),
    "no source": (lambda: plot.source_of(len), "objects must have Python source, got <built-in"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "sentence"), WRONG.values(), ids=WRONG)
def test_bad_input_gets_one_sentence(call, sentence):
    with pytest.raises((ValueError, TypeError)) as error:
        call()
    assert sentence in str(error.value) and "\n" not in str(error.value)
