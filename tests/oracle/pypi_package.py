"""The trainer of the PyPI package locoprop 0.1.0 as a target of the oracle, as it is."""

import torch
import torch.nn.functional as F
from locoprop import LocoLayer, LocopropTrainer
from torch import nn

TRANSFERS = {"tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid}


def loss_fn(y_hat, t):
    return F.binary_cross_entropy(y_hat, t, reduction="none").sum(1).mean()


def network(inputs):
    layers = []
    for m, name in enumerate(inputs["transfers"], start=1):
        W, b = inputs[f"W_{m}"], inputs.get(f"b_{m}")
        linear = nn.Linear(*W.shape, bias=b is not None, dtype=torch.float64)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(W).T)
            if b is not None:
                linear.bias.copy_(torch.from_numpy(b))
        layers.append(LocoLayer(linear, TRANSFERS[name]))
    return nn.Sequential(*layers)


def optimizer(inputs):
    lr = inputs["local_lr"]
    if inputs["optimizer"] == "sgd":
        return torch.optim.SGD, {"lr": lr}
    hyper = {"alpha": inputs["decay"], "eps": inputs["epsilon"], "momentum": inputs["momentum"]}
    return torch.optim.RMSprop, {"lr": lr} | hyper


def target(topic, conventions, inputs):
    """Train as the package does, whatever the conventions say."""
    if topic != "training" or inputs["method"] != "locoprop-m":
        return NotImplemented
    if inputs["output_loss"] != "sigmoid_cross_entropy":
        return NotImplemented
    model = network(inputs)
    kind, hyper = optimizer(inputs)
    trainer = LocopropTrainer(
        model, loss_fn, kind, hyper, learning_rate=inputs["target_step"],
        local_iterations=inputs["num_local_steps"],
    )  # fmt: skip
    for x, t, rate in zip(inputs["x"], inputs["t"], inputs["rates"], strict=True):
        for opt in trainer.opts:
            opt.param_groups[0]["lr"] = inputs["local_lr"] * rate
        trainer.step(torch.from_numpy(x), torch.from_numpy(t))
    values = {}
    for m, layer in enumerate(model, start=1):
        values[f"W_{m}"] = layer.module.weight.T
        if layer.module.bias is not None:
            values[f"b_{m}"] = layer.module.bias
    return values
