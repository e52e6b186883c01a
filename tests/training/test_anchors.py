"""LeNet-5 and a recurrent network on MNIST reach the test accuracies of an independent program.

The anchors are one run each of another implementation (NumPy alone, float32, tanh, mean pooling, batches of
100, constant rate, seed 0), whose initial weights and order of the images differ from ours: single runs, so
that 0.03 are allowed after 200 steps, where the accuracy still rises fast.
"""

import numpy as np
import pytest

from locoprop_ref import initialize, method
from locoprop_ref.data import load
from locoprop_ref.data.dataset import scaled
from locoprop_ref.methods.locoprop import locoprop_m, locoprop_s_closed
from locoprop_ref.network import predict
from locoprop_ref.optimizers import RMSProp
from locoprop_ref.solvers import Descend

LENET = "28x28x1-c5x6+2-p2-c5x16-p2-120-84-10"
RECURRENT = "28x28-r64-10"
METHODS = {
    "adam 1e-3": lambda: method("backprop", optimizer_name="adam", learning_rate=1e-3),
    "adam 3e-3": lambda: method("backprop", optimizer_name="adam", learning_rate=3e-3),
    "s closed 100": lambda: locoprop_s_closed(target_step=100.0, weight_step=0.1),
    "s closed 30": lambda: locoprop_s_closed(target_step=30.0, weight_step=0.1),
    "m": lambda: locoprop_m(Descend(RMSProp(momentum=0.9), 3e-4, 10), target_step=10.0),
}
# (network, method): {steps: test accuracy}
ANCHORS = {
    (LENET, "adam 1e-3"): {100: 0.8911, 200: 0.9145, 600: 0.9559},
    (LENET, "adam 3e-3"): {100: 0.9127, 200: 0.9355, 600: 0.9675, 1200: 0.9745},
    (LENET, "s closed 100"): {100: 0.9275, 200: 0.9621, 600: 0.9750, 1200: 0.9791},
    (LENET, "m"): {100: 0.8957, 200: 0.9147, 600: 0.9447},
    (RECURRENT, "adam 3e-3"): {200: 0.8182, 600: 0.8914, 1200: 0.9317},
    (RECURRENT, "s closed 30"): {200: 0.7805, 600: 0.9415, 1200: 0.9472},
}


def accuracies(layers, name, steps, mnist_dir, seed=0):
    """{steps: test accuracy} at some numbers of steps, in one run."""
    images = load("mnist", data_dir=mnist_dir)
    x, x_test = (scaled(part, "float32") for part in (images.x_train, images.x_test))
    t = np.eye(10, dtype="float32")[images.labels_train]
    count = layers.count("-") - layers.count("-p")
    transfers = ["tanh"] * (count - 1) + ["softmax"]
    network = initialize(
        layers, transfers=transfers, output_loss="softmax_cross_entropy", seed=seed, dtype="float32"
    )
    ours, rng, found = METHODS[name](), np.random.default_rng(seed), {}
    state, order = ours.init(network), np.empty(0, int)
    for step in range(1, max(steps) + 1):
        if not len(order):
            order = rng.permutation(len(x))
        batch, order = order[:100], order[100:]
        network, state, _ = ours.step(network, state, x[batch], t[batch])
        if step in steps:
            said = [predict(network, x_test[i : i + 500]) for i in range(0, len(x_test), 500)]
            found[step] = float(np.mean(np.argmax(np.concatenate(said), axis=1) == images.labels_test))
    return found


@pytest.mark.full
@pytest.mark.parametrize(
    ("layers", "name", "steps"),
    [(LENET, "adam 3e-3", 200), (LENET, "s closed 100", 200), (RECURRENT, "adam 3e-3", 200)],
)
def test_test_accuracy_is_that_of_another_program(layers, name, steps, mnist_dir):
    found = accuracies(layers, name, (steps,), mnist_dir)[steps]
    assert abs(found - ANCHORS[layers, name][steps]) < 0.03, found
