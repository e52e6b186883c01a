"""The page `examples/locoprop_in_100_lines.py` as the second source of training runs, and what it leaves out.

It leaves out BackProp, the mean squared error and float64 images.
"""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np

PATH = Path(__file__).resolve().parents[2] / "examples" / "locoprop_in_100_lines.py"


def load() -> ModuleType:
    """A fresh copy of the page as a module."""
    spec = importlib.util.spec_from_file_location(PATH.stem, PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


page = load()


def images(folder, part, dtype):
    """The page's images, whose pixels are whole numbers / 255, in another dtype."""
    return np.rint(page.images(folder, part) * 255).astype(dtype) / np.dtype(dtype).type(255)


def backprop_step(weights, states, t, r):
    """BackProp by RMSProp, momentum 0.9 and learning rate 3e-4, in place of the page's `locoprop_step`."""
    y_hat, _ = page.forward(weights, t)
    g = page.backward(weights, y_hat, t)
    for m, (W, (mean_square, buffer)) in enumerate(zip(weights, states, strict=True)):
        gradient = np.vstack([y_hat[m].T @ g[m], g[m].sum(axis=0)])
        mean_square = page.DECAY * mean_square + (1 - page.DECAY) * gradient**2
        buffer = 0.9 * buffer + r * 3e-4 * gradient / np.sqrt(mean_square + page.EPSILON)
        yield W - buffer, (mean_square, buffer)


def resting_step(weights, states, t, r):
    """The page's `locoprop_step`; at rate 0 the K gradients of a layer, which are one, are computed once.

    No weight moves in such a step, and the mean squares come closer to the squares of the gradients.
    """
    if r != 0 or any(np.any(buffer) for _, buffer in states):
        yield from page.locoprop_step(weights, states, t, r)
        return
    y_hat, _ = page.forward(weights, t)
    g = page.backward(weights, y_hat, t)
    for m, (W, (mean_square, buffer)) in enumerate(zip(weights, states, strict=True)):
        x = np.hstack([y_hat[m], np.ones_like(y_hat[m][:, :1])])
        gradient = x.T @ (page.TRANSFERS[m](x @ W) - (y_hat[m + 1] - page.TARGET_STEP * g[m]))
        for _ in range(page.K):
            mean_square = page.DECAY * mean_square + (1 - page.DECAY) * gradient**2
        yield W, (mean_square, buffer)


STEPS = {"locoprop-m": resting_step, "backprop": backprop_step}


def losses(x_train, x_test, epochs, method="locoprop-m", seed=0, **smaller):
    """Losses as the package's run file has them: entry 0 is the initial network, entry n after n epochs."""
    program = load()
    program.locoprop_step = STEPS[method]
    return [
        {part: full_losses(weights, x) for part, x in (("train", x_train), ("test", x_test))}
        for weights in program.train(x_train, epochs, np.random.default_rng(seed), **smaller)
    ]


def full_losses(weights, t):
    """Cross-entropy: sum over pixels, mean over examples. Squared error: mean over both."""
    y_hat = np.concatenate([page.forward(weights, x)[0][-1] for x in np.array_split(t, 100)])
    return {"ce": float(page.loss(weights, t)), "mse": float(np.mean((y_hat - t) ** 2, dtype=np.float64))}
