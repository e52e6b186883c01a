"""LocoProp-M trains a deep autoencoder on MNIST: the experiment of Amid, Anil and Warmuth (AISTATS 2022).

    python examples/locoprop_in_100_lines.py FOLDER_OF_THE_IDX_FILES [--epochs 99] [--seed 0]

Each layer ŷ = f(â), â = xW + b, gets a target y* = ŷ − γg, g = ∂L/∂â, and takes K steps down a convex loss of
its own: Σ D_F(â, a*) over the batch, where F′ = f and f(a*) = y*. Its gradient in W is xᵀ(f(xW + b) − y*)."""

import argparse
import gzip
from itertools import pairwise
from pathlib import Path

import numpy as np

SIZES, BATCH = (784, 1000, 500, 250, 30, 250, 500, 1000, 784), 1000
HIDDEN = [np.tanh] * 3
TRANSFERS = [*HIDDEN, lambda a: a, *HIDDEN, lambda a: (1 + np.tanh(a / 2)) / 2]  # linear code, sigmoid output
TARGET_STEP, LOCAL_LR, K = 10.0, 1e-5, 10  # γ, s and the number of local steps
DECAY, MOMENTUM, EPSILON = 0.9, 0.999, 1e-5  # of TensorFlow 1's RMSProp, which takes the steps
SCHEDULE = [e / 5 if e < 5 else 1 - (e + 1 - 5) / 95 for e in range(99)]  # r, which multiplies s in epoch e


def images(folder, part):
    path = folder / f"{part}-images-idx3-ubyte"  # a header of 16 bytes, then one byte per pixel
    content = path.read_bytes() if path.exists() else gzip.decompress(Path(f"{path}.gz").read_bytes())
    return np.frombuffer(content, np.uint8, offset=16).reshape(-1, 784).astype(np.float32) / 255


def initialize(sizes, rng, dtype):
    """Glorot's uniform weights; b becomes the last row of W. Keras takes the fans of b as d_out and d_out."""
    for d_in, d_out in pairwise(sizes):
        W = rng.uniform(-1, 1, (d_in, d_out)) * np.sqrt(6 / (d_in + d_out))
        b = rng.uniform(-1, 1, (1, d_out)) * np.sqrt(6 / (d_out + d_out))
        yield np.vstack([W, b]).astype(dtype)


def forward(weights, x):
    """All ŷ, the input x before them, and the last â; the ŷ of one layer is the x of the next."""
    y_hat = [x]
    for f, W in zip(TRANSFERS, weights, strict=True):
        a_hat = y_hat[-1] @ W[:-1] + W[-1]
        y_hat.append(f(a_hat))
    return y_hat, a_hat


def backward(weights, y_hat, t):
    """g = ∂L/∂â of every layer: (ŷ − t)/B at the output, below it (g Wᵀ) f′(â), where tanh′(â) = 1 − ŷ²."""
    g = [(y_hat[-1] - t) / len(t)]
    for m in reversed(range(len(weights) - 1)):
        slope = 1 - y_hat[m + 1] ** 2 if TRANSFERS[m] is np.tanh else 1
        g.insert(0, (g[0] @ weights[m + 1][:-1].T) * slope)
    return g


def locoprop_step(weights, states, t, r):
    """All targets are set before any weight moves; after that no layer needs to know of another."""
    y_hat, _ = forward(weights, t)
    g = backward(weights, y_hat, t)
    for m, f in enumerate(TRANSFERS):
        x = np.hstack([y_hat[m], np.ones_like(y_hat[m][:, :1])])  # the bias has an input that is always 1
        y_target = y_hat[m + 1] - TARGET_STEP * g[m]
        W, (mean_square, buffer) = weights[m], states[m]
        for k in range(K):
            rate = r * LOCAL_LR * max(1 - k / K, 0.25)
            gradient = x.T @ (f(x @ W) - y_target)  # a sum over the batch: g has the 1/B of L already
            mean_square = DECAY * mean_square + (1 - DECAY) * gradient**2
            buffer = MOMENTUM * buffer + rate * gradient / np.sqrt(mean_square + EPSILON)
            W = W - buffer
        yield W, (mean_square, buffer)


def loss(weights, t):
    """L = Σ −t log ŷ − (1 − t) log(1 − ŷ) = Σ log(1 + exp(â)) − tâ over pixels, the mean over images."""
    a_hat = np.concatenate([forward(weights, x)[1] for x in np.array_split(t, 100)])
    return np.sum(np.logaddexp(0, a_hat) - t * a_hat, dtype=np.float64) / len(t)


def train(x, epochs, rng, sizes=SIZES, batch=BATCH):
    weights = list(initialize(sizes, rng, x.dtype))
    states = [(1.0, 0.0)] * len(weights)  # in TensorFlow 1 the mean square begins at 1
    yield weights
    for r in SCHEDULE[:epochs]:
        order = rng.permutation(len(x))[: len(x) // batch * batch]  # the remainder is dropped
        for rows in order.reshape(-1, batch):
            weights, states = zip(*locoprop_step(weights, states, x[rows], r), strict=True)
        yield weights


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path, help="of train- and t10k-images-idx3-ubyte, plain or .gz")
    parser.add_argument("--epochs", type=int, default=99, choices=range(100), metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    try:
        x_train, x_test = images(args.folder, "train"), images(args.folder, "t10k")
    except (OSError, EOFError, ValueError):
        parser.exit(2, f"{args.folder} must hold train- and t10k-images-idx3-ubyte of MNIST, plain or .gz.\n")
    for e, weights in enumerate(train(x_train, args.epochs, np.random.default_rng(args.seed))):
        print(f"epoch {e}: train {loss(weights, x_train):.2f}, test {loss(weights, x_test):.2f}", flush=True)
