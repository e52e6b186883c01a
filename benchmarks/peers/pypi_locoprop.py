"""The PyPI package `locoprop` 0.1.0 (eager PyTorch, LocoProp-M only), called with the problem's sizes.

Its `correction`, which moves the next layer's input after each layer, is switched off, because it is not part
of the method and costs one more product per layer. Two differences remain, which cost no time: the local
gradient is the mean over the batch, and RMSProp is PyTorch's.
"""

import numpy as np
import torch
from locoprop import LocoLayer, LocopropTrainer
from torch import nn

from benchmarks.problem import Problem, images, network

_F = {"tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "identity": nn.Identity}


def _loss(logits, pixels):
    entropy = nn.functional.binary_cross_entropy_with_logits
    return entropy(logits, pixels, reduction="sum") / len(pixels)


class _Run:
    def __init__(self, problem: Problem) -> None:
        self.x = torch.tensor(images(problem))
        ours = network(problem).layers
        self.linear = [nn.Linear(*layer.W.shape, dtype=self.x.dtype) for layer in ours]
        with torch.no_grad():
            for linear, layer in zip(self.linear, ours, strict=True):
                linear.weight.copy_(torch.tensor(layer.W.T))
                linear.bias.copy_(torch.tensor(layer.b))
        # `implicit` means that the network's loss takes the last layer's pre-activation
        parts = zip(self.linear, problem.transfers, strict=True)
        model = nn.Sequential(*(LocoLayer(W, _F[f](), implicit=f == "sigmoid") for W, f in parts))
        self.trainer = LocopropTrainer(
            model,
            _loss,
            optimizer_hparams={
                "lr": problem.local_lr,
                "alpha": problem.decay,
                "momentum": problem.momentum,
                "eps": problem.epsilon,
            },
            learning_rate=problem.target_step,
            local_iterations=problem.num_local_steps,
            correction=0.0,
        )

    def step(self) -> None:
        self.trainer.step(self.x, self.x)

    def weights(self) -> list[np.ndarray]:
        return [p.detach().numpy() for linear in self.linear for p in (linear.weight.T, linear.bias)]


def prepare(problem: Problem, method: str) -> _Run:
    """Return a run of LocoProp-M."""
    if method != "locoprop-m":
        raise ValueError(f"method must be 'locoprop-m' for the PyPI package, got {method!r}")
    return _Run(problem)
