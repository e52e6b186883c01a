"""The example of long sequences: its lengths are derivatives, and it runs from the command line."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from locoprop_ref import Layer, backprop, network_loss
from locoprop_ref.network import Network
from locoprop_ref.plot.style import alt_text

PATH = Path(__file__).resolve().parents[2] / "examples" / "pixel_by_pixel.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("pixel_by_pixel", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def batch(pixels=6, examples=3):
    rng = np.random.default_rng(1)
    return rng.random((examples, pixels), dtype="float32"), np.eye(10, dtype="float32")[[1, 7, 3]]


def test_the_length_of_a_step_is_that_of_finite_differences(example):
    """â_t is moved by a bias of its own: an initial state does that for the first step."""
    network, (x, t) = example.network_of(6, 4, 0), batch()
    first = network.layers[0]
    W, b = first.W.astype("float64"), first.b.astype("float64")
    last = network.layers[1]
    top = Layer(last.W.astype("float64"), last.b.astype("float64"), last.transfer, last.wiring)
    x, t = x.astype("float64"), t.astype("float64")
    W_h, total, eps = W[1:], 0.0, 1e-6

    def loss(state, example):
        layer = Layer(W, b, first.transfer, first.wiring, recurrent=True, initial_state=state)
        whole = Network((layer, top), network.loss)
        return float(network_loss(whole, x[example : example + 1], t[example : example + 1])) / len(x)

    # ∂L/∂h_0 = W_h g_1, so that g_1 = W_h⁻¹ ∂L/∂h_0 where W_h is square and regular
    for n in range(len(x)):
        slopes = [(loss(eps * e, n) - loss(-eps * e, n)) / (2 * eps) for e in np.eye(4)]
        total += np.sum(np.linalg.solve(W_h, np.array(slopes)) ** 2)
    recurrent = Layer(W, b, first.transfer, first.wiring, recurrent=True)
    found = example.lengths(Network((recurrent, top), network.loss), x, t)
    assert found.shape == (6,)
    # differences of 1e-6 are right to about 1e-9 of the loss; W_h may magnify that a hundredfold
    assert_allclose(found[0], np.sqrt(total), rtol=1e-5)


def test_the_title_counts_the_steps(example):
    curves = {"before": 10.0 ** -np.arange(6)[::-1], "after Adam": np.array([0, 1, 1, 1, 1, 1.0])}
    drawn = example.figure(curves)
    title = drawn.axes[0].get_title()
    assert title.startswith("of 6 time steps, ") and title.endswith("in: 4 before, 5 after Adam")
    assert "before: 1e−05 at the first, 1 at the last" in alt_text(drawn)


def test_training_keeps_the_loss_before_every_step(example):
    network, (x, t) = example.network_of(6, 4, 0), batch()
    trained, seconds, losses = example.train(network, backprop("sgd", 0.5), [(x, t)] * 5)
    assert len(losses) == 5 and losses[0] == float(network_loss(network, x, t)) and seconds > 0
    assert float(network_loss(trained, x, t)) < losses[-1] < losses[0]


def run(arguments):
    return subprocess.run([sys.executable, PATH, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.full
def test_it_runs(tmp_path, mnist_dir):
    out = tmp_path / "figure.svg"
    arguments = ["--steps", "2", "--hidden", "3", "--batch-size", "5", "--data-dir", mnist_dir, "--out", out]
    done = run(arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert out.read_bytes().startswith(b"<?xml")
    again = run(arguments)
    assert again.returncode == 2 and "out must be a new file" in again.stderr
