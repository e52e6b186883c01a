"""MNIST pixel by pixel: what 784 time steps cost, and how far the gradient reaches back.

    python examples/pixel_by_pixel.py [--steps 200] [--data-dir FOLDER] [--out pixel-by-pixel.svg]

A recurrent layer (Elman) reads an image as a sequence of 784 pixels, and only its last step is classified.
Adam and LocoProp-S in closed form take the same number of training steps from the same weights on the same
batches. The table shows what a training step costs; the figure shows ‖∂L/∂â_t‖ against the time step t,
before the training and after it: where this length has vanished, a pixel teaches the weights nothing.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from locoprop_ref import Layer, Network, backprop, initialize, locoprop_s_closed, network_loss
from locoprop_ref.data import load
from locoprop_ref.data.dataset import scaled
from locoprop_ref.network import backward, forward
from locoprop_ref.plot.save import save
from locoprop_ref.plot.shared_weights import lengths_by_step
from locoprop_ref.plot.style import describe, label, label_powers_of_ten, line_style, panels, spell, styled

METHODS = {  # settings from the row-by-row network, not tuned for this one
    "Adam": lambda: backprop("adam", 1e-3),
    "LocoProp-S, closed form": lambda: locoprop_s_closed(target_step=10.0, weight_step=0.1),
}


def network_of(pixels: int, hidden: int, seed: int) -> Network:
    """Return a recurrent layer of `hidden` units over `pixels` steps, and a softmax of its last output."""
    words = f"{pixels}x1-r{hidden}-10"
    transfers, loss = ("tanh", "softmax"), "softmax_cross_entropy"
    return initialize(words, transfers=transfers, output_loss=loss, seed=seed, dtype="float32")


def train(network: Network, ours, batches) -> tuple[Network, float, list[float]]:
    """Return the trained network, the seconds of a training step (median), and the loss before every step."""
    state, seconds, losses = ours.init(network), [], []
    for x, t in batches:
        losses.append(float(network_loss(network, x, t)))
        start = time.perf_counter()
        network, state, _ = ours.step(network, state, x, t)
        seconds.append(time.perf_counter() - start)
    return network, float(np.median(seconds)), losses


def lengths(network: Network, x, t) -> np.ndarray:
    """Return ‖∂L/∂â_t‖ of the recurrent layer at every time step, over all examples of a batch."""
    trace = forward(network, x)
    recurrent: Layer = network.layers[0]
    return lengths_by_step(trace.x[0], backward(network, trace, t)[0], recurrent.positions)[0]


@styled
def figure(curves: dict[str, np.ndarray]):
    """Draw the lengths against the time step; the title says how far back they stay above a thousandth."""
    reach = {name: int(np.sum(g >= 1e-3 * g[-1])) for name, g in curves.items()}
    count = len(next(iter(curves.values())))
    words = ", ".join(f"{n} {name}" for name, n in reach.items())
    title = f"of {count} time steps, the gradient is above 1/1000 of the last one's in: {words}"
    drawn, (panel,) = panels(1, width=13, height=5.5)
    for i, (name, g) in enumerate(curves.items()):
        shown = np.where(g > 0, g, np.nan)  # a logarithmic axis has no place for zero
        panel.plot(np.arange(1, count + 1), shown, **line_style(i), label=name)
    panel.set_yscale("log")
    label_powers_of_ten(panel.yaxis)
    label(panel, title=title, x="time step t (pixel)", y="‖∂L/∂â_t‖", legend="best")
    ends = [f"{n}: {spell(g[0])} at the first, {spell(g[-1])} at the last" for n, g in curves.items()]
    return describe(drawn, f"Lengths of the derivative of the loss at {count} time steps. {'; '.join(ends)}.")


def main(arguments: list[str] | None = None) -> None:
    """Train, print the table, and write the figure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=200, help="training steps (default 200)")
    parser.add_argument("--hidden", type=int, default=128, help="units of the recurrent layer (default 128)")
    parser.add_argument("--batch-size", type=int, default=100, help="images in a batch (default 100)")
    parser.add_argument("--seed", type=int, default=0, help="of the weights and the batches (default 0)")
    parser.add_argument("--data-dir", type=Path, help="folder of the MNIST files (default: downloaded)")
    parser.add_argument("--out", type=Path, default=Path("pixel-by-pixel.svg"), help="figure, SVG or PNG")
    given = parser.parse_args(arguments)
    if given.out.exists():
        parser.error(f"out must be a new file, got {given.out}")
    images = load("mnist", data_dir=given.data_dir)
    x, t = scaled(images.x_train, "float32"), np.eye(10, dtype="float32")[images.labels_train]
    rng = np.random.default_rng(given.seed)
    rows = [rng.choice(len(x), given.batch_size, replace=False) for _ in range(given.steps + 1)]
    begun = network_of(x.shape[1], given.hidden, given.seed)
    curves = {"before": lengths(begun, x[rows[-1]], t[rows[-1]])}
    print(f"{'':26}{'s a step':>10}{'loss before':>14}{'after':>8}   (the mean of ten steps)")
    for name, method in METHODS.items():
        trained, seconds, losses = train(begun, method(), [(x[r], t[r]) for r in rows[:-1]])
        curves[f"after {name}"] = lengths(trained, x[rows[-1]], t[rows[-1]])
        print(f"{name:26}{seconds:10.3f}{np.mean(losses[:10]):14.3f}{np.mean(losses[-10:]):8.3f}", flush=True)
    save(figure(curves), given.out)
    print(given.out)


if __name__ == "__main__":
    main()
