"""One trial: the losses of `train` on the held-out images, pruning, divergence."""

import dataclasses

import numpy as np
import optuna
import pytest
from tiny_tuning import NUMPY, small, split_data

from locoprop_ref.experiments import tuned
from locoprop_ref.experiments.tune import objective as objective_module
from locoprop_ref.experiments.tune.objective import Diverged, held_out_losses, objective
from locoprop_ref.experiments.tune.problem import tuning_data
from locoprop_ref.training import DIVERGENCE, examples, train


@pytest.mark.parametrize("method", tuned.CONTESTANTS)
def test_held_out_losses_are_those_of_train(method, here):
    """`train` on a file whose training set is the reduced one, and whose test set is the held-out one."""
    on = small()
    data = tuning_data(on, None)
    np.savez("split.npz", x_train=data.x_train, x_test=data.x_test)
    config = on.config(method, seed=3)
    run = train(dataclasses.replace(config, data="split.npz"), progress=False).run
    losses = list(held_out_losses(config, examples(data, config, NUMPY), NUMPY))
    assert losses == [row["test"]["ce"] for row in run["epochs"]]
    assert losses[-1] != losses[0]


def test_training_images_are_not_evaluated(here, monkeypatch):
    data, looked_at, right = split_data(), [], objective_module.evaluate
    monkeypatch.setattr(
        objective_module, "evaluate", lambda net, x, t: looked_at.append(x) or right(net, x, t)
    )
    list(held_out_losses(small().config("sgd", seed=0), data, NUMPY))
    assert len(looked_at) == 3
    assert all(x is data.x_test for x in looked_at)


class Trial:
    """What Optuna hands to an objective: keeps the reports, prunes at an epoch."""

    def __init__(self, prune_at=None, **user_attrs):
        self.user_attrs, self.prune_at, self.reports, self.asked, self.attributes = (
            user_attrs,
            prune_at,
            {},
            [],
            {},
        )

    def report(self, value, step):
        self.reports[step] = value

    def should_prune(self):
        self.asked.append(max(self.reports))
        return max(self.reports) == self.prune_at

    def set_user_attr(self, name, value):
        self.attributes[name] = value


def test_every_epoch_is_reported_and_the_last_loss_returned(here):
    config, data, trial = small(epochs=4).config("rmsprop", seed=0), split_data(), Trial()
    value = objective(trial, config, data, NUMPY)
    losses = list(held_out_losses(config, data, NUMPY))
    assert trial.reports == dict(enumerate(losses[1:], start=1))
    assert value == losses[-1]
    assert trial.asked == [1, 2, 3]  # after the last epoch there is nothing left to save


def test_the_pruner_ends_a_trial(here):
    trial = Trial(prune_at=2)
    with pytest.raises(optuna.TrialPruned):
        objective(trial, small(epochs=4).config("rmsprop", seed=0), split_data(), NUMPY)
    assert list(trial.reports) == [1, 2]


def test_the_untuned_trial_is_never_cut_short(here):
    config, trial = small(epochs=4).config("rmsprop", seed=0), Trial(prune_at=2, untuned=True)
    assert objective(trial, config, split_data(), NUMPY) == trial.reports[4]


def test_a_diverged_trial_counts_as_the_worst(here):
    config, data, trial = small().config("sgd", seed=0, learning_rate=1e30), split_data(), Trial()
    value = objective(trial, config, data, NUMPY)
    assert value == DIVERGENCE * next(held_out_losses(config, data, NUMPY))
    assert trial.attributes["diverged"].startswith("epoch 1: ")
    assert not trial.reports


@pytest.mark.parametrize(
    ("losses", "diverged"), [([2.0, 200.0], False), ([2.0, 200.1], True), ([2.0, np.nan], True)]
)
def test_what_counts_as_divergence(losses, diverged, here, monkeypatch):
    coming = iter([*losses, 1.0])
    monkeypatch.setattr(objective_module, "evaluate", lambda *_: {"ce": next(coming)})
    yielded = held_out_losses(small().config("sgd", seed=0), split_data(), NUMPY)
    assert next(yielded) == losses[0]
    if diverged:
        with pytest.raises(Diverged, match=r"^loss (200\.1|nan)$"):
            next(yielded)
    else:
        assert list(yielded) == [200.0, 1.0]


class Failing:
    """A method whose n-th step fails."""

    def __init__(self, n, error):
        self.n, self.error, self.steps = n, error, 0

    def init(self, network, seed):
        return {}

    def step(self, network, state, x, t, *, rate):
        self.steps += 1
        if self.steps == self.n:
            raise self.error
        return network, state, {}


@pytest.mark.parametrize("error", [np.linalg.LinAlgError("singular"), ValueError("nan in it")])
def test_a_step_that_fails_later_has_diverged(error, here, monkeypatch):
    config, data, trial = small().config("sgd", seed=0), split_data(), Trial()
    monkeypatch.setattr(objective_module, "build_method", lambda config: Failing(7, error))
    losses = held_out_losses(config, data, NUMPY)
    next(losses), next(losses)  # four steps make an epoch
    with pytest.raises(Diverged, match=str(error)):
        next(losses)
    assert objective(trial, config, data, NUMPY) == DIVERGENCE * next(held_out_losses(config, data, NUMPY))
    assert trial.attributes == {"diverged": f"epoch 2: {error}"}


def test_a_first_step_that_fails_is_an_error(here, monkeypatch):
    config, data = small().config("sgd", seed=0), split_data()
    monkeypatch.setattr(objective_module, "build_method", lambda config: Failing(1, ValueError("wrong")))
    with pytest.raises(ValueError, match="wrong"):
        list(held_out_losses(config, data, NUMPY))


def test_adagrads_own_default_is_the_number_that_is_searched_from(here):
    data, losses = split_data(), []
    for accumulator in (None, 0.1):
        config = small().config("adagrad", seed=0, initial_accumulator=accumulator)
        losses.append(list(held_out_losses(config, data, NUMPY)))
    assert losses[0] == losses[1]
