"""The losses of a network on a data set, against a plain program; and that training lowers them."""

import math

import numpy as np
import pytest
from small_runs import (
    CLASSES,
    arrays,
    run,
)

from locoprop_ref import network
from locoprop_ref.data.dataset import checked_dataset
from locoprop_ref.methods import registry
from locoprop_ref.training import evaluate
from locoprop_ref.training.config import resolve
from locoprop_ref.training.task import examples


def naive_losses(net, x, t, labels):
    """Cross-entropy or squared error, mean squared error and accuracy, example by example in plain Python."""
    name = "squared_error" if net.loss.name == "squared_error" else "ce"
    total = squares = correct = 0.0
    for row in range(len(x)):
        y = x[row].tolist()
        for layer in net.layers:
            W, b = layer.W.tolist(), layer.b.tolist()
            a = [sum(y[i] * W[i][j] for i in range(len(y))) + b[j] for j in range(len(b))]
            if layer.transfer.name == "softmax":
                y = [math.exp(value) / sum(map(math.exp, a)) for value in a]
            else:
                formula = {
                    "identity": lambda v: v,
                    "tanh": math.tanh,
                    "sigmoid": lambda v: 1 / (1 + math.exp(-v)),
                }
                y = [formula[layer.transfer.name](value) for value in a]
        target = t[row].tolist()
        pairs = list(zip(y, target, strict=True))
        if net.loss.name == "sigmoid_cross_entropy":
            total -= sum(q * math.log(p) + (1 - q) * math.log(1 - p) for p, q in pairs)
        elif net.loss.name == "softmax_cross_entropy":
            total -= sum(q * math.log(p) for p, q in pairs)
        else:
            total += sum((p - q) ** 2 for p, q in pairs) / 2
        squares += sum((p - q) ** 2 for p, q in pairs) / len(pairs)
        correct += labels is not None and y.index(max(y)) == labels[row]
    found = {name: total / len(x), "mse": squares / len(x)}
    return found | ({} if labels is None else {"accuracy": correct / len(x)})


@pytest.mark.parametrize("rows", [1, 7, 20, 5000])
@pytest.mark.parametrize("task", ["autoencode", "squared error", "classify"])
def test_evaluate_is_the_naive_mean(task, rows):
    made, loss, last = arrays(), "sigmoid_cross_entropy", "sigmoid"
    x = made["x_test"] / 255
    t, labels, sizes = x, None, (9, 4, 9)
    if task == "squared error":
        loss, last = "squared_error", "identity"
    if task == "classify":
        loss, last, sizes, labels = "softmax_cross_entropy", "softmax", (9, 4, 3), made["labels_test"]
        t = np.eye(3)[labels]
    net = network.initialize(sizes, transfers=["tanh", last], output_loss=loss, seed=1)
    got, wanted = evaluate(net, x, t, labels, rows=rows), naive_losses(net, x, t, labels)
    assert list(got) == list(wanted)
    for name in wanted:  # sums of 180 terms of one sign (squares), or below 1 (logarithms)
        np.testing.assert_allclose(got[name], wanted[name], rtol=1e-13)


def test_the_losses_of_a_run_are_those_of_its_network(tiny):
    result = run(tiny, task="classify", layers="9-6-3", dtype="float64")
    made = arrays()
    for part in ("train", "test"):
        x, labels = made[f"x_{part}"] / 255, made[f"labels_{part}"]
        wanted = naive_losses(result.network, x, np.eye(CLASSES)[labels], labels)
        got = result.run["epochs"][-1][part]
        assert list(got) == list(wanted)
        for name in wanted:
            np.testing.assert_allclose(got[name], wanted[name], rtol=1e-13)  # as above


def test_classification_learns(tiny):
    """The labels are the largest of three inputs: a linear rule, learned from 60 examples."""
    result = run(
        tiny,
        task="classify",
        layers="9-12-3",
        method="backprop",
        optimizer="adam",
        learning_rate=0.03,
        epochs=40,
    )
    accuracy = [row["train"]["accuracy"] for row in result.run["epochs"]]
    assert accuracy[0] < 0.6
    assert accuracy[-1] > 0.9  # measured: 1.0
    assert result.run["epochs"][-1]["test"]["accuracy"] > 0.6  # measured: 0.8; chance is 0.33


@pytest.mark.parametrize("name", registry.METHODS)
def test_every_method_lowers_the_train_loss(tiny, name):
    settings = {
        "backprop": {"learning_rate": 1e-2},
        "locoprop-s": {"momentum": 0.5},
        "locoprop-m": {"momentum": 0.5},
        "shampoo": {"learning_rate": 0.02},
        "fa": {"local_lr": 1e-2},
        "dfa": {"local_lr": 1e-2},
    }
    step = {"target_step": 20.0} if name.startswith("locoprop") else {}
    result = run(tiny, method=name, epochs=5, **settings.get(name, {}), **step)
    losses = [row["train"]["ce"] for row in result.run["epochs"]]
    assert losses[-1] < losses[0] - 0.05


def test_many_classes_take_no_square_of_memory():
    """The identity matrix of 300,000 classes would take 720 GB; the four rows of it that count take 10 MB."""
    classes, x, labels = 300_000, np.zeros((2, 3)), np.array([0, 299_999])
    arrays = {"x_train": x, "x_test": x, "labels_train": labels, "labels_test": labels[::-1].copy()}
    config = resolve(data="own.npz", task="classify", layers=f"3-{classes}", batch_size=2, dtype="float64")
    data = examples(checked_dataset("own", arrays, source="test"), config, np)
    for t, wanted in ((data.t_train, labels), (data.t_test, labels[::-1])):
        assert t.shape == (2, classes)
        np.testing.assert_array_equal(np.nonzero(t)[1], wanted)
        assert t.sum() == 2
