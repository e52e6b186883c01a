"""Names of runs: the same for the same experiment, another for another one, and fit for a file."""

import re

import pytest

from locoprop_ref.training.config import resolve
from locoprop_ref.training.run_name import run_name

# (options, name): the defaults alone have the name that they always had
NAMES = [
    ({}, "locoprop-m-curves-seed0"),
    ({"method": "locoprop-s", "seed": 7}, "locoprop-s-curves-seed7"),
    ({"target_step": 3}, "locoprop-m-curves-target_step3.0-seed0"),
    ({"target_step": 10}, "locoprop-m-curves-seed0"),  # the default, typed
    (
        {"num_local_steps": 5, "layers": "784-9-784"},
        "locoprop-m-curves-layers784-9-784-num_local_steps5-seed0",
    ),
    # what follows from the task (layers, loss) and from the optimizer (its decay) is not named again
    ({"data": "mnist", "task": "classify"}, "locoprop-m-mnist-taskclassify-seed0"),
    ({"method": "backprop", "optimizer": "adam"}, "backprop-curves-optimizeradam-seed0"),
    ({"data": "a b/my data.npz", "layers": "4-2-4"}, "locoprop-m-my data-layers4-2-4-seed0"),
    ({"schedule": "constant", "epochs": 3}, "locoprop-m-curves-scheduleconstant-seed0"),
]


@pytest.mark.parametrize(("options", "name"), NAMES, ids=str)
def test_names(options, name):
    assert run_name(resolve(**options)) == name


def test_a_run_that_is_continued_keeps_its_name():
    paper = [resolve("paper", epochs=epochs) for epochs in (3, 50, 99)]
    constant = [resolve(schedule="constant", epochs=epochs) for epochs in (1, 2)]
    assert len({*map(run_name, paper)}) == len({*map(run_name, constant)}) == 1
    # of another length the default schedule is another experiment
    assert run_name(resolve(epochs=3)) != run_name(resolve(epochs=4))


def test_experiments_differ_in_their_names():
    configs = [
        resolve(**options)
        for options in (
            {},
            {"epochs": 3},
            {"layers": "784-30-784"},
            {"layers": "784-31-784"},
            {"width": 0.5},
            {"bias": False},
            {"target_step": 1},
            {"num_local_steps": 3},
            {"local_lr": 1e-4},
            {"local_lr": 1.00000001e-4},
            {"project_targets": True},
            {"dtype": "float64"},
            {"transfer": "relu"},
            {"optimizer": "sgd"},
            {"optimizer": "sgd", "local_lr": 1e-4},
            {"batch_size": 100},
            {"diagnostics": True},
            {"method": "ste", "layers": "784-9-2-784"},
            {"method": "am", "layers": "784-2-784"},
            {"frozen_layers": 1},
        )
    ]
    names = [run_name(config) for config in configs]
    assert len({*names}) == len(names)
    assert all(re.fullmatch(r"[\w.,+-]{1,120}", name) for name in names)


def test_long_names_end_in_eight_digits():
    name, other = (
        run_name(resolve(target_step=step, num_local_steps=3, project_targets=True, local_state="reset"))
        for step in (2, 3)
    )
    assert re.fullmatch(r"locoprop-m-curves-[0-9a-f]{8}-seed0", name) and name != other
