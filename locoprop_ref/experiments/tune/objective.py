"""One trial: train with the given settings, and report the held-out loss after every epoch."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from locoprop_ref.backend import synchronize
from locoprop_ref.network import Network
from locoprop_ref.training import DIVERGENCE, Examples, diverged, evaluate
from locoprop_ref.training.build import build_method, build_network
from locoprop_ref.training.options import Config
from locoprop_ref.training.steps import Diverged, Steps


def held_out_losses(
    config: Config, data: Examples, xp: Any, after_step: Callable[[], object] = lambda: None
) -> Iterator[float]:
    """Yield the losses of `held_out_epochs` without their seconds."""
    for loss, _ in held_out_epochs(config, data, xp, after_step):
        yield loss


def held_out_epochs(
    config: Config, data: Examples, xp: Any, after_step: Callable[[], object] = lambda: None
) -> Iterator[tuple[float, float]]:
    """Yield the network loss on the held-out images: of the untrained network, then after every epoch.

    Beside it stand the seconds of the epoch's steps, in which nothing is evaluated; 0 of the untrained one.

    Networks, batches and rates are those of `train`; the training images are not evaluated.

    Args:
        config: resolved.
        data: training images as `x_train`, held-out ones as `x_test`.
        xp: array namespace.
        after_step: called after every step; may raise KeyboardInterrupt.

    Raises:
        Diverged: the loss is not finite or more than `DIVERGENCE` times the untrained network's, or a step
            failed by its numbers, see `Steps.epoch`.
    """
    rng = np.random.default_rng(config.seed)
    network, method = build_network(config, rng, xp=xp), build_method(config)
    state, steps = method.init(network, config.seed), Steps(config, method, data, xp)
    untrained = _loss(network, data)
    yield untrained, 0.0
    for epoch in range(config.epochs):
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            order = steps.shuffled(rng)
            started = time.perf_counter()
            network, state, _ = steps.epoch(epoch, network, state, order, after_step)
            synchronize(network.layers[-1].W)
            seconds = time.perf_counter() - started
            loss = _loss(network, data)
        if diverged(loss, untrained):
            raise Diverged(f"loss {loss:.4g}")
        yield loss, seconds


def objective(
    trial: Any, config: Config, data: Examples, xp: Any, after_step: Callable[[], object] = lambda: None
) -> float:
    """Return the held-out loss after the last epoch, to Optuna; the loss of every epoch is reported to it.

    A trial that diverges counts as `DIVERGENCE` times the untrained network's loss, which is the least loss
    that is called divergence. No other trial is worse, but it is a number, so that the sampler learns from
    it.

    Raises:
        optuna.TrialPruned: the pruner ends the trial.
    """
    from optuna import TrialPruned

    kept = trial.user_attrs.get("untuned", False)
    losses = held_out_losses(config, data, xp, after_step)
    untrained = loss = next(losses)
    epoch = 0
    try:
        for epoch, loss in enumerate(losses, start=1):
            trial.report(loss, epoch)
            if epoch < config.epochs and not kept and trial.should_prune():
                raise TrialPruned
    except Diverged as error:
        trial.set_user_attr("diverged", f"epoch {epoch + 1}: {error}")
        return DIVERGENCE * untrained
    return loss


def _loss(network: Network, data: Examples) -> float:
    return next(iter(evaluate(network, data.x_test, data.t_test).values()))
