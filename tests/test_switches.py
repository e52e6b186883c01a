"""Every switch of the public functions is True or False: the string "no" never means yes."""

import dataclasses
import importlib
import inspect
import pkgutil

import numpy as np
import pytest

import locoprop_ref
from locoprop_ref.training.config import resolve
from locoprop_ref.transfers import transfer

# tables of the oracle and its second source, and what no user calls
NOT_PUBLIC = ("oracle.recipes", "oracle.second_source", "checks", "methods.base", "oracle.diagnose",
              "oracle.finding", "oracle.imitate", "oracle.arithmetic", "oracle.symptoms")  # fmt: skip
INTERNAL = {
    "architectures.LayerPlan",
    "blocks.RowBlocks",
    "oracle.check.finished",
    "data.digits.load_idx_set",
}

RUN = {
    "config": {"method": "backprop"},
    "environment": {},
    "epochs": [{"epoch": 0, "train": {"ce": 1.0}, "test": {"ce": 1.0}, "step_seconds": 0.0}],
}
# what else the call needs
ARGUMENTS = {
    "data.load": ("curves",),
    "data.files.check_outputs": ({},),
    "plot.figures": ("out",),
    "training.apply.apply_network": ("a.npz", "curves", "b.npz"),
    "layers.Layer": (np.ones((2, 1)), None, transfer("tanh")),
    "methods.locoprop.LocoProp": ("matching",),
    "network.initialize": ((2, 1),),
    "oracle.check.check": (lambda topic, conventions, inputs: NotImplemented, []),
    "oracle.report.Report": ("name", "float64", ()),
    "oracle.results.check_results": (
        {"schema": 1, "vectors": 2, "implementation": "a", "dtype": "float64", "results": {}},
    ),
    "plot.training.training_curves": ([RUN],),
    "newton_solvers.newton_cost": ((2, 1), 3),
    "training.run.train": (resolve(),),
}
KEYWORDS = {
    "exercises.exercise.Mark": {"exercise": "a", "sentences": ()},
    "network.initialize": {"transfers": "tanh"},
}


def public_functions():
    """{"module.name": callable} of all functions and classes that a user may call."""
    found = {}
    for module in pkgutil.walk_packages(locoprop_ref.__path__, "locoprop_ref."):
        name = module.name.removeprefix("locoprop_ref.")
        if name.startswith((*NOT_PUBLIC, "cli", "experiments", "__main__")) or "._" in module.name:
            continue
        content = vars(importlib.import_module(module.name))
        for own, value in content.items():
            ours = inspect.isfunction(value) or (isinstance(value, type) and dataclasses.is_dataclass(value))
            if ours and value.__module__ == module.name and own[0] != "_":
                found[f"{name}.{own}"] = value
    return found


FUNCTIONS = public_functions()


def switches():
    for name, function in FUNCTIONS.items():
        for parameter in inspect.signature(function).parameters.values():
            if parameter.annotation in (bool, "bool", "bool | None", bool | None):
                yield name, parameter.name


SWITCHES = sorted(set(switches()) - {pair for pair in switches() if pair[0] in INTERNAL})


def test_the_switches_are_found():
    assert {("training.run.train", "overwrite"), ("optimizers.Momentum", "nesterov")} <= set(SWITCHES)
    assert len(SWITCHES) > 20


@pytest.mark.parametrize(("name", "switch"), SWITCHES)
@pytest.mark.parametrize("value", ["no", 0, None])
def test_a_switch_is_true_or_false(name, switch, value):
    function = resolve if name == "training.options.Config" else FUNCTIONS[name]
    optional = inspect.signature(FUNCTIONS[name]).parameters[switch].annotation == (bool | None)
    if value is None and (optional or function is resolve):
        return  # None counts as not given
    arguments, keywords = ARGUMENTS.get(name, ()), KEYWORDS.get(name, {})
    with pytest.raises(TypeError, match=f"^{switch} must be True or False, got {value!r}$"):
        function(*arguments, **keywords, **{switch: value})


@pytest.mark.parametrize("option", ["bias", "diagnostics", "project_targets"])
def test_a_switch_of_a_run_is_true_or_false(option):
    with pytest.raises(TypeError, match=f"^{option} must be True or False, got 'no'$"):
        resolve(**{option: "no"})
