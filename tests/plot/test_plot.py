"""Figures: the numbers on their axes, words, errors, and the same bytes on every run.

Losses on the axes are compared with an integral of the transfer function in `naive`, D_F = ∫ f(z) − f(a*) dz.
"""

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from functools import partial
from itertools import pairwise
from math import inf, nan
from pathlib import Path

import matplotlib
import naive
import numpy as np
import pytest
from bridge import ELEMENTWISE
from mpl_toolkits.mplot3d import Axes3D
from numpy.testing import assert_allclose, assert_array_equal, assert_equal
from scipy.integrate import quad

from locoprop_ref import plot
from locoprop_ref.plot.training import band, grouped, series
from locoprop_ref.transfers import Transfer, transfer

PARAMETERS = {"leaky_relu": 0.01, "elu": 1.0}  # the defaults


def f_of(name: str):
    """The transfer function of one number, from the loops' second source."""
    return lambda z: naive.f((name, PARAMETERS.get(name)), z)


def integral(name: str, a_hat: float, a: float) -> float:
    f = f_of(name)
    # the kinks are at 0
    ends = [a, *([0.0] if min(a, a_hat) < 0 < max(a, a_hat) else []), a_hat]
    return sum(quad(lambda z: f(z) - f(a), *piece, epsabs=1e-12)[0] for piece in pairwise(ends))


def run(method, train, *, seconds=2.0, **more):
    rows = [
        {
            "epoch": epoch,
            "train": {"ce": ce, "mse": ce / 100, **more}, "test": {"ce": ce + 1, "mse": ce / 90},
            "step_seconds": seconds if epoch else 0.0, "eval_seconds": 1000.0,
        }
        for epoch, ce in enumerate(train)
    ]  # fmt: skip
    return {"schema": 1, "config": {"method": method}, "epochs": rows, "status": "finished"}


def training_curves():
    return plot.training_curves([run("backprop", [3, 2, 1]), run("locoprop-m", [3, 1, 0.5])])


VALUES = np.linspace(0, 1, 3 * 16).reshape(3, 16)
# drawn by the test and not here, where every process would draw them all to know the names of its tests
EVERY_FIGURE = {
    **{f"curves-{name}": partial(plot.matching_loss_curves, name) for name in ELEMENTWISE},
    **{f"at-{name}": partial(plot.matching_loss_at, name, 0.5, -2.0) for name in ELEMENTWISE},
    **{
        f"contours-{name}": partial(plot.matching_loss_contours, name, 1.0, points=21) for name in ELEMENTWISE
    },
    **{f"objective-{name}": partial(plot.target_objective, name, 0.3) for name in ELEMENTWISE},
    "surface": partial(plot.matching_loss_surface, "tanh", points=9),
    "training": training_curves,
    "images": partial(plot.image_grid, VALUES, title="ramps"),
    "reconstructions": partial(plot.reconstructions, VALUES, {"backprop": VALUES**2}),
}


# ------------------------------ losses


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_curves_are_the_integral_of_the_transfer_function(name):
    targets = (-1.5, 0.0, 2.0)
    figure = plot.matching_loss_curves(name, targets, predictions=(-3, 3))
    for a, matching, squared, after in zip(
        targets, *(panel.lines[::2] for panel in figure.axes), strict=True
    ):
        z = matching.get_xdata()
        assert_equal((z[0], z[-1]), (-3, 3))
        for i in range(0, len(z), 80):
            # both sides carry a few roundings of numbers below 10
            assert_allclose(matching.get_ydata()[i], integral(name, z[i], a), rtol=0, atol=1e-11)
            f = f_of(name)
            assert_allclose(after.get_ydata()[i], (f(z[i]) - f(a)) ** 2 / 2, rtol=0, atol=1e-13)
        assert_allclose(squared.get_ydata(), 0.5 * (z - a) * (z - a), rtol=1e-14)


@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.parametrize(("a", "a_hat"), [(1.0, -1.5), (-2.0, -0.5), (0.0, 0.0), (-1.0, 3.0)])
def test_one_loss_is_an_area_with_a_slope(name, a, a_hat):
    figure = plot.matching_loss_at(name, a, a_hat)
    area, curve = figure.axes
    D, f = integral(name, a_hat, a), f_of(name)
    # the shaded polygon, by the shoelace formula: a second way to its area
    x, y = area.collections[0].get_paths()[0].vertices.T if a != a_hat else (np.zeros(2), np.zeros(2))
    shoelace = abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))) / 2
    # 200 straight pieces over at most 4 units: (4/200)²·4/12 · sup f″ ≤ 2e-4
    assert_allclose(shoelace, D, rtol=0, atol=2e-4)
    tangent, point = curve.lines[3], curve.lines[4]
    # a few roundings of numbers below 10
    slope = np.diff(tangent.get_ydata()[[0, -1]]) / np.diff(tangent.get_xdata()[[0, -1]])
    assert_allclose(slope, f(a_hat) - f(a), rtol=0, atol=1e-13)
    touching = np.interp(a_hat, *tangent.get_data())
    assert_allclose(touching, D, rtol=0, atol=1e-11)
    assert_allclose(point.get_xydata()[0], (a_hat, D), rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.parametrize("y", [-1.2, 0.0, 0.4, 1.3])
def test_objective_has_a_floor_unless_the_target_is_out_of_range(name, y):
    lowest = {"relu": 0, "tanh": -1, "sigmoid": 0, "softplus": 0, "elu": -1, "arctan": -np.pi / 2}.get(
        name, -inf
    )
    highest = {"tanh": 1, "sigmoid": 1, "arctan": np.pi / 2}.get(name, inf)
    figure = plot.target_objective(name, y)
    objective = figure.axes[1].lines[0]
    z, values = objective.get_data()
    # slope f(z) − y, by differences over 0.04: off by 0.04 · sup f′ at the most
    middle = (z[1:] + z[:-1]) / 2
    expected = np.array([f_of(name)(one) - y for one in middle])
    assert_allclose(np.diff(values) / np.diff(z), expected, rtol=0, atol=0.01)
    bounded = lowest <= y <= highest
    assert_equal("is unbounded below" in figure.get_suptitle(), not bounded)
    target = figure.axes[0].lines[1].get_label()
    assert_equal(target.endswith(", out of range"), not bounded)
    assert_equal(len(figure.axes[1].lines), 2 if bounded else 1)
    if bounded:
        floor = figure.axes[1].lines[1].get_ydata()[0]
        assert_equal(bool(np.all(values >= floor - 1e-12)), True)


@pytest.mark.parametrize("name", ["tanh", "relu", "sigmoid"])
def test_surface_is_the_loss_over_prediction_and_target(name, monkeypatch):
    drawn = []
    monkeypatch.setattr(Axes3D, "plot_surface", lambda panel, x, y, z, **look: drawn.append((x, y, z)))
    plot.matching_loss_surface(name, limits=(-2, 2), points=5)
    matching, squared = (np.array(one).reshape(3, 25) for one in drawn)
    for x, y, z in matching.T:
        assert_allclose(z, integral(name, x, y), rtol=0, atol=1e-11)  # roundings of numbers below 10
    assert_allclose(squared[2], (squared[0] - squared[1]) ** 2 / 2, rtol=1e-14, atol=1e-15)


def test_contours_lie_where_the_loss_has_their_level():
    figure = plot.matching_loss_contours("relu", -1.0, points=161)
    filled, lines = figure.axes[0].collections[:2]
    level = dict(zip(lines.levels, lines.get_paths(), strict=True))[2.0]
    # linear interpolation on a grid of 0.05: off by about (0.05)²/8 · 4
    for x, y in level.vertices[::9]:
        assert_allclose(integral("relu", x, y), 2.0, atol=2e-3)
    assert_equal(filled.levels[0], 0)
    assert_equal(figure.axes[0].lines[1].get_ydata()[0], -1.0)


def test_a_transfer_function_of_ones_own_is_drawn():
    """With the formulas of tanh under another name: the same curves."""
    ours = transfer("tanh")
    mine = Transfer(
        "mine", f=ours._f, F=ours._F, derivative=ours._derivative, F_star=ours._F_star,
        inverse=ours._inverse, D=ours._D, low=-1, high=1,
    )  # fmt: skip
    for draw in (
        plot.matching_loss_curves,
        plot.matching_loss_at,
        plot.target_objective,
        plot.bregman_duality,
    ):
        figures = [draw(one) for one in (mine, "tanh")]
        lines = [[line.get_xydata() for panel in figure.axes for line in panel.lines] for figure in figures]
        for own, named in zip(*lines, strict=True):
            assert_array_equal(own, named)
        assert "mine" in plot.alt_text(figures[0]) and "tanh" not in plot.alt_text(figures[0])
    assert plot.matching_loss_contours(mine, 1.0, points=9) and plot.matching_loss_surface(mine, points=9)
    with pytest.raises(TypeError, match=r"^parameters must be those of 'mine' itself, got slope beside$"):
        plot.matching_loss_curves(mine, slope=0.1)


# ------------------------------ training


def test_training_time_sums_steps_and_leaves_evaluation_out():
    figure = plot.training_curves([run("backprop", [8, 4, 2], seconds=3.0)], "test ce")
    by_epoch, by_clock = (panel.lines[0] for panel in figure.axes)
    assert_array_equal(by_epoch.get_xydata(), [[0, 9], [1, 5], [2, 3]])
    assert_array_equal(by_clock.get_xydata(), [[0, 9], [3, 5], [6, 3]])


def named_run(method, seed, **settings):
    rows = [
        {"epoch": e, "train": {"ce": 9.0 - e}, "test": {"ce": 9.0}, "step_seconds": 1.0, "eval_seconds": 0.0}
        for e in range(3)
    ]
    data = {"name": settings.pop("data", "curves"), "sha256": "0" * 64}
    return {"config": {"method": method, "seed": seed, **settings}, "data": data, "epochs": rows}


def test_only_seeds_of_one_experiment_are_pooled():
    """Runs of one method under other settings, or on other data, are lines of their own."""
    alike = [named_run("locoprop-m", seed, target_step=10.0) for seed in (0, 1)]
    groups = grouped([*alike, named_run("backprop", 0)])
    assert {name: len(runs) for name, runs in groups.items()} == {"locoprop-m": 2, "backprop": 1}
    other = named_run("locoprop-m", 0, target_step=1.0)
    groups = grouped([*alike, other])
    assert {name: len(runs) for name, runs in groups.items()} == {
        "locoprop-m, target_step 10.0": 2,
        "locoprop-m, target_step 1.0": 1,
    }
    groups = grouped([*alike, named_run("locoprop-m", 0, target_step=10.0, data="mine.npz")])
    assert sorted(len(runs) for runs in groups.values()) == [1, 2]
    assert all("data" in name for name in groups)


def test_seeds_are_a_median_and_a_band():
    runs = [run("m", [8, 4]), run("m", [8, 1]), run("m", [8, 2, 1]), run("s", [8, 8])]
    assert_array_equal(band(runs[:3], "train ce")["median"], [8, 2])
    figure = plot.training_curves(runs, log=False)
    (seeds,) = figure.axes[0].collections
    vertices = seeds.get_paths()[0].vertices
    assert_equal((vertices[:, 1].min(), vertices[:, 1].max()), (1, 8))
    assert_equal([text.get_text() for text in figure.axes[0].get_legend().get_texts()], ["m", "s"])


def test_tasks_and_data_sets_have_axes_of_their_own():
    """Two panels each; within a row the labels are those of the row's runs alone."""
    runs = [
        named_run("locoprop-m", 0, data="mnist"),
        named_run("kfac", 0, data="mnist", task="classify"),
        named_run("locoprop-m", 0),
        named_run("locoprop-m", 1),
        named_run("kfac", 0, data="mnist"),
    ]
    figure = plot.training_curves(runs)
    assert_equal(
        [panel.get_title(loc="left") for panel in figure.axes[::2]],
        ["autoencode mnist", "classify mnist", "autoencode curves"],
    )
    legends = [[text.get_text() for text in panel.get_legend().get_texts()] for panel in figure.axes[::2]]
    assert_equal(legends, [["locoprop-m", "kfac"], ["kfac"], ["locoprop-m"]])
    assert_equal([len(panel.lines) for panel in figure.axes], [2, 2, 1, 1, 1, 1])
    words = plot.alt_text(figure)
    assert all(f"{row}: train ce against epochs" in words for row in ("autoencode mnist", "classify mnist"))
    named = plot.training_curves(runs[:2], labels=["first", "second"])
    assert_equal(
        [panel.get_legend().get_texts()[0].get_text() for panel in named.axes[::2]], ["first", "second"]
    )


@pytest.mark.parametrize("count", [2, 20])
def test_a_legend_stays_inside_the_figure(count):
    """Of labels with many options: wrapped, and beside the panels where they are many."""
    options = {"learning_rate": 0.01234567, "initial_accumulator": 1e-10, "momentum": 0.987654321}
    runs = [
        named_run(
            "backprop",
            0,
            **{name: float(f"{value * (n + 1):.6g}") for name, value in options.items()},
            decay=0.1 * n,
        )
        for n in range(count)
    ]
    figure = plot.training_curves(runs)
    figure.draw_without_rendering()
    (box,) = [panel.get_legend().get_window_extent() for panel in figure.axes if panel.get_legend()]
    assert 0 <= box.x0 < box.x1 <= figure.bbox.x1 and 0 <= box.y0 < box.y1 <= figure.bbox.y1
    assert not any(box.overlaps(panel.bbox) for panel in figure.axes) or count == 2
    texts = next(panel.get_legend().get_texts() for panel in figure.axes if panel.get_legend())
    assert all(
        f"initial_accumulator {float(f'{1e-10 * (n + 1):.6g}')}" in texts[n].get_text() for n in range(count)
    )


def test_no_two_of_many_lines_look_the_same():
    figure = plot.training_curves([named_run(f"method {n}", 0) for n in range(14)])
    looks = {
        (line.get_color(), line.get_linestyle(), str(line._dash_pattern)) for line in figure.axes[0].lines
    }
    assert len(looks) == 14


@pytest.mark.parametrize(
    ("values", "log", "scale"),
    [
        ([500, 99], None, "log"),  # more than five times
        ([500, 100], None, "linear"),
        ([500, 0], None, "linear"),  # 0 has no logarithm
        ([500, 99], False, "linear"),
        ([500, 400], True, "log"),
    ],
)
def test_the_axis_is_logarithmic_where_it_helps(values, log, scale):
    figure = plot.training_curves([run("backprop", values)], log=log)
    assert_equal([panel.get_yscale() for panel in figure.axes], [scale, scale])


def test_a_metric_by_name():
    one = run("backprop", [8, 4], accuracy=0.5)
    assert_array_equal(series(one, "train accuracy")[2], [0.5, 0.5])
    assert_array_equal(series(one, "test mse")[2], [8 / 90, 4 / 90])


# ------------------------------ images


def test_images_stand_side_by_side():
    pixels = np.arange(24.0).reshape(6, 4) / 24
    figure = plot.image_grid(pixels, columns=4)
    board = np.ma.filled(figure.axes[0].images[0].get_array(), nan)
    assert_equal(board.shape, (2 * 3 + 1, 4 * 3 + 1))
    for i in range(6):
        top, left = 1 + 3 * (i // 4), 1 + 3 * (i % 4)
        assert_array_equal(board[top : top + 2, left : left + 2], pixels[i].reshape(2, 2))
    assert_equal(int(np.sum(np.isnan(board))), board.size - 24)
    assert_equal(figure.axes[0].images[0].get_clim(), (0, 1))  # the range of pixels, whatever the images hold


def test_reconstructions_say_their_error():
    pixels = np.zeros((3, 4))
    figure = plot.reconstructions(pixels, {"half": pixels + 0.5})
    assert_equal([panel.get_ylabel() for panel in figure.axes], ["original", "half\nMSE 0.2500"])
    assert "0.2500" in plot.alt_text(figure)
    assert {panel.images[0].get_clim() for panel in figure.axes} == {(0, 1)}


# ------------------------------ every figure


@pytest.mark.parametrize(("key", "draw"), EVERY_FIGURE.items(), ids=EVERY_FIGURE)
def test_every_figure_says_what_it_shows(key, draw):
    figure = draw()
    assert len(plot.alt_text(figure)) > 60 or key == "images"
    assert figure.get_suptitle()
    for panel in figure.axes:
        assert panel.get_xlabel() or panel.images
        assert panel.get_ylabel() or panel.get_shared_y_axes().get_siblings(panel) or panel.images
    for text in figure.findobj(matplotlib.text.Text):
        assert not text.get_text() or text.get_fontsize() >= 10


@pytest.mark.parametrize("file_format", ["svg", "png"])
def test_the_same_bytes_whatever_the_users_settings(file_format):
    first = plot.rendered(plot.matching_loss_curves("tanh"), file_format)
    with matplotlib.rc_context(
        {"lines.linewidth": 9, "font.size": 30, "svg.hashsalt": "other", "axes.grid": False}
    ):
        before = dict(matplotlib.rcParams)
        assert_equal(plot.rendered(plot.matching_loss_curves("tanh"), file_format) == first, True)
        assert_equal(dict(matplotlib.rcParams) == before, True)
    other = plot.rendered(plot.matching_loss_curves("tanh", (-2.0, 0.0, 2.001)), file_format)
    assert_equal(other == first, False)


def test_the_alternative_text_travels_with_the_file(tmp_path):
    figure = plot.matching_loss_at("tanh")
    text = plot.alt_text(figure)
    svg, png = (plot.save(figure, tmp_path / "deep" / f"loss.{end}") for end in ("svg", "png"))
    assert text in " ".join("".join(ElementTree.parse(svg).getroot().itertext()).split("\n"))  # noqa: S314
    assert text.encode() in png.read_bytes() or text.encode("latin-1", "replace") in png.read_bytes()
    assert png.read_bytes().startswith(b"\x89PNG")


def test_a_figure_that_cannot_be_written_leaves_the_old_file(tmp_path, monkeypatch):
    path = plot.save(plot.matching_loss_at("tanh"), tmp_path / "loss.png", dpi=40)
    old = path.read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("no space left")))
    with pytest.raises(OSError, match="no space"):
        plot.save(plot.matching_loss_at("relu"), path, dpi=40)
    assert_equal((path.read_bytes() == old, [p.name for p in tmp_path.iterdir()]), (True, ["loss.png"]))


@pytest.mark.full
def test_figures_draws_tanh_and_relu(tmp_path):
    paths = plot.figures(tmp_path / "out")
    assert_equal(sorted(p.name for p in (tmp_path / "out").iterdir()), sorted(p.name for p in paths))
    for name in ("tanh", "relu"):
        for end in ("svg", "png"):
            assert tmp_path / "out" / f"matching-loss-{name}.{end}" in paths


def test_matplotlib_is_imported_by_the_first_figure_and_pyplot_never():
    code = (
        "import sys; from locoprop_ref import plot; assert 'matplotlib' not in sys.modules; "
        "plot.rendered(plot.matching_loss_curves('tanh')); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


ONE = np.zeros((2, 16))
WRONG = {
    "unknown": (lambda: plot.matching_loss_curves("tanhh"), "did you mean 'tanh'"),
    "softmax": (lambda: plot.matching_loss_at("softmax"), "name must be of an elementwise transfer"),
    "no target": (lambda: plot.matching_loss_curves("tanh", ()), "targets must hold at least one number"),
    "nan": (lambda: plot.matching_loss_at("tanh", nan), "target must be a number, got nan"),
    "inf": (lambda: plot.matching_loss_at("tanh", 1.0, inf), "prediction must be finite, got inf"),
    "limits": (lambda: plot.matching_loss_contours("tanh", limits=(2, -2)), "limits must be two"),
    "points": (lambda: plot.matching_loss_surface("tanh", points=1), "points must be an integer of at least"),
    "parameter": (lambda: plot.target_objective("tanh", 0.5, slope=2), "transfer 'tanh' takes no parameter"),
    "no run": (lambda: plot.training_curves([]), "runs must hold at least one run, got none"),
    "metric": (
        lambda: plot.training_curves([run("backprop", [1])], "train loss"),
        "test mse for the run of backprop on None, got 'train loss'",
    ),
    "no epochs": (lambda: plot.training_curves([run("backprop", [])]), "runs must hold at least one epoch"),
    "labels": (lambda: plot.training_curves([run("m", [1])], labels="ab"), "labels must be one for each"),
    "no image": (lambda: plot.image_grid(np.zeros((0, 16))), "images must be"),
    "square": (lambda: plot.image_grid(np.zeros((2, 15))), "images must hold rows of 3·3 pixels, got 15"),
    "columns": (lambda: plot.image_grid(ONE, columns=0), "columns must be an integer of at least 1"),
    "other shape": (lambda: plot.reconstructions(ONE, {"m": ONE[:1]}), "rows['m'] must have shape (2, 4, 4)"),
    "suffix": (lambda: plot.save(plot.image_grid(ONE), "a.jpg"), "path must end in .svg or .png, got"),
    "format": (lambda: plot.rendered(plot.image_grid(ONE), "pdf"), "file_format must be one of svg, png"),
    "dpi": (lambda: plot.rendered(plot.image_grid(ONE), dpi=0), "dpi must be a positive number"),
    "many dots": (lambda: plot.show(plot.image_grid(ONE), dpi=1e308), "dpi must be at most 10000, got"),
    "greys": (lambda: plot.image_grid(ONE, limits=(1, 0)), "limits must be two finite numbers in increasing"),
    "one grey": (lambda: plot.reconstructions(ONE, {}, limits=(1,)), "limits must be two numbers"),
    "label": (lambda: plot.training_curves([run("m", [1])], labels=[1]), "labels must be words, got [1]"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "sentence"), WRONG.values(), ids=WRONG)
def test_bad_input_gets_one_sentence(call, sentence):
    with pytest.raises((ValueError, TypeError)) as error:
        call()
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_names_from_a_run_file_are_no_formulas():
    r"""Two dollar signs in the name of a file were once read as mathematics, and refused."""
    runs = [{**run("a$\\frac{$\x1b", [3, 2]), "data": {"name": name}} for name in ("cost$1{$.npz", "b")]
    figure = plot.training_curves(runs)
    labels = figure.axes[0].get_legend_handles_labels()[1]
    assert labels[0].startswith(r"a\$\frac{\$?")
    assert figure.axes[0].get_title(loc="left") == r"autoencode cost\$1{\$.npz"
    assert "cost$1{$.npz" in plot.alt_text(figure) and "\x1b" not in plot.alt_text(figure)
    plot.rendered(figure)


@pytest.mark.parametrize("wrong", [None, 3, "figure", [1.0, 2.0]], ids=lambda one: type(one).__name__)
def test_what_is_no_figure_and_no_run_is_named(wrong, tmp_path):
    for function in (plot.alt_text, plot.rendered, plot.show, lambda it: plot.save(it, tmp_path / "a.png")):
        with pytest.raises(
            TypeError, match=r"^figure must be a Figure, as the functions of plot return, got "
        ):
            function(wrong)
    with pytest.raises(TypeError, match=r"^runs must be "):
        plot.training_curves(wrong)
    with pytest.raises(TypeError, match=r"^runs must be dicts of run files, got "):
        plot.training_curves([run("backprop", [3, 2]), wrong])
    with pytest.raises(TypeError, match=r"^rows must be a dict of images"):
        plot.reconstructions(VALUES, wrong)
    if wrong != [1.0, 2.0]:
        with pytest.raises((TypeError, ValueError), match=r"^(predictions|limits) must be "):
            plot.matching_loss_curves("tanh", predictions=wrong)
    if not isinstance(wrong, str):
        with pytest.raises(TypeError, match=r"^metric must be the name of a part and of a loss"):
            plot.training_curves([run("backprop", [3, 2])], wrong)


def test_a_numpy_scalar_is_a_plain_number():
    """np.uint8(3) once overflowed among 300 inputs."""
    assert plot.alt_text(plot.perceptron_and_winnow(np.uint8(3))) == plot.alt_text(
        plot.perceptron_and_winnow(3)
    )
