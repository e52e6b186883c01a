"""The authors' experiment, once more, in one plain NumPy file that imports nothing of locoprop_ref.

The second source of the package's training runs: the deep autoencoder 784-1000-500-250-30-250-500-1000-784
(tanh, code layer linear, output sigmoid with cross-entropy) on MNIST, batch 1000, trained by LocoProp-M with
the authors' settings or by BackProp with RMSProp, both in TensorFlow 1's dialect. Slow and plain on purpose.

    python tests/paper_by_hand.py FOLDER_OF_GZIP_IDX_FILES [epochs] [float32|float64] [locoprop-m|backprop]
"""

import gzip
import itertools
import pathlib
import sys

import numpy as np

SIZES = [784, 1000, 500, 250, 30, 250, 500, 1000, 784]
CODE, LAST = 3, 7  # the linear layer and the sigmoid layer, counted from 0
BATCH = 1000
DECAY, EPSILON = 0.9, 1e-5  # RMSProp of both methods
K, TARGET_STEP, LOCAL_LR, LOCAL_MOMENTUM = 10, 10.0, 1e-5, 0.999
BACKPROP_LR, BACKPROP_MOMENTUM = 3e-4, 0.9


def images(path, dtype):
    with gzip.open(path) as file:
        magic, count, rows, columns = np.frombuffer(file.read(16), ">i4")
        assert magic == 2051, f"{path} is no IDX file of images"
        pixels = np.frombuffer(file.read(), np.uint8)
    return pixels.reshape(count, rows * columns).astype(dtype) / dtype(255)


def sigmoid(a):
    """1/(1 + e^-a), with the exponential of a number <= 0 only: it cannot overflow."""
    e = np.exp(-np.abs(a))
    return np.where(a >= 0, 1 / (1 + e), e / (1 + e))


def transfer(m, a):
    return a if m == CODE else sigmoid(a) if m == LAST else np.tanh(a)


def initial_weights(rng, dtype):
    """[W, b] of every layer: Glorot uniform, a bias with fans (d_out, d_out); float64, then cast."""
    weights = []
    for d_in, d_out in itertools.pairwise(SIZES):
        W = rng.uniform(-np.sqrt(6 / (d_in + d_out)), np.sqrt(6 / (d_in + d_out)), (d_in, d_out))
        b = rng.uniform(-np.sqrt(3 / d_out), np.sqrt(3 / d_out), d_out)
        weights.append([W.astype(dtype), b.astype(dtype)])
    return weights


def forward(weights, x):
    """The input of every layer and, last, the output; the last pre-activation beside them."""
    ys = [x]
    for m, (W, b) in enumerate(weights):
        a = ys[-1] @ W + b
        ys.append(transfer(m, a))
    return ys, a


def backward(weights, ys):
    """g = dL/da of every layer; L: cross-entropy of the output with the input, mean over the batch."""
    gs = [None] * len(weights)
    gs[LAST] = (ys[-1] - ys[0]) / len(ys[0])
    for m in range(LAST - 1, -1, -1):
        above = gs[m + 1] @ weights[m + 1][0].T
        gs[m] = above if m == CODE else above * (1 - ys[m + 1] ** 2)
    return gs


def rmsprop(parameter, gradient, state, rate, momentum):
    """TensorFlow 1: the mean square starts at ones, epsilon inside the root, the rate inside the buffer."""
    mean_square, buffer = state
    mean_square[...] = DECAY * mean_square + (1 - DECAY) * gradient**2
    buffer[...] = momentum * buffer + rate * gradient / np.sqrt(mean_square + EPSILON)
    parameter -= buffer


def backprop_step(weights, states, x, r):
    ys, _ = forward(weights, x)
    gs = backward(weights, ys)
    for m, (W, b) in enumerate(weights):
        rmsprop(W, ys[m].T @ gs[m], states[m][0], r * BACKPROP_LR, BACKPROP_MOMENTUM)
        rmsprop(b, gs[m].sum(axis=0), states[m][1], r * BACKPROP_LR, BACKPROP_MOMENTUM)


def locoprop_m_step(weights, states, x, r):
    """Every input and target comes from this one forward and backward pass, before any weight moves."""
    ys, _ = forward(weights, x)
    targets = [y - TARGET_STEP * g for y, g in zip(ys[1:], backward(weights, ys), strict=True)]
    for m, (W, b) in enumerate(weights):
        for k in range(K):
            rate = r * LOCAL_LR * max(1 - k / K, 0.25)
            residual = transfer(m, ys[m] @ W + b) - targets[m]
            rmsprop(W, ys[m].T @ residual, states[m][0], rate, LOCAL_MOMENTUM)
            rmsprop(b, residual.sum(axis=0), states[m][1], rate, LOCAL_MOMENTUM)


def full_losses(weights, x):
    """Cross-entropy: sum over pixels, mean over examples. Squared error: mean over both."""
    ce = mse = 0.0
    for start in range(0, len(x), BATCH):
        t = x[start : start + BATCH]
        ys, a = forward(weights, t)
        # -t log y - (1-t) log(1-y) = max(a, 0) - t a + log(1 + e^-|a|)
        terms = np.maximum(a, 0) - t * a + np.log1p(np.exp(-np.abs(a)))
        ce += terms.sum(dtype=np.float64)
        mse += ((ys[-1] - t) ** 2).sum(dtype=np.float64)
    return {"ce": float(ce / len(x)), "mse": float(mse / x.size)}


def losses(folder, epochs, dtype=np.float32, method="locoprop-m", seed=0, schedule_epochs=100):
    """Losses on all training and all test images: entry 0 is the initial network, entry n after n epochs."""
    dtype = np.dtype(dtype).type
    step = {"locoprop-m": locoprop_m_step, "backprop": backprop_step}[method]
    folder = pathlib.Path(folder)
    train = images(folder / "train-images-idx3-ubyte.gz", dtype)
    test = images(folder / "t10k-images-idx3-ubyte.gz", dtype)
    rng = np.random.default_rng(seed)
    weights = initial_weights(rng, dtype)
    states = [[(np.ones_like(p), np.zeros_like(p)) for p in layer] for layer in weights]
    history = [{"train": full_losses(weights, train), "test": full_losses(weights, test)}]
    warm_up = schedule_epochs / 20
    for e in range(epochs):
        r = e / warm_up if e < warm_up else 1 - (e + 1 - warm_up) / (schedule_epochs - warm_up)
        order = rng.permutation(len(train))
        for start in range(0, len(train) - BATCH + 1, BATCH):
            step(weights, states, train[order[start : start + BATCH]], dtype(r))
        history.append({"train": full_losses(weights, train), "test": full_losses(weights, test)})
    return history


if __name__ == "__main__":
    defaults = [None, "3", "float32", "locoprop-m"]
    folder, epochs, dtype, method = sys.argv[1:] + defaults[len(sys.argv) - 1 :]
    for epoch, row in enumerate(losses(folder, int(epochs), dtype, method)):
        print(epoch, *(f"{row[part][name]:.10g}" for part in ("train", "test") for name in ("ce", "mse")))
