"""What a docstring promises to raise: every public function refuses what is foreign to it in that way.

Of a function that can be called without arguments each one is replaced in turn; of another all that it needs
at once, and where `EXAMPLES` says how to call it, each one in turn as well.
"""

import inspect
import re

import numpy as np
import pytest

import locoprop_ref
from locoprop_ref import (
    CodeTargets,
    LocalProblem,
    data,
    initialize,
    optimizer,
    oracle,
    plot,
    training,
    transfer,
    verify,
)
from locoprop_ref.backend import dtype_name, to_backend
from locoprop_ref.gauss_newton_targets import output_jacobians
from locoprop_ref.network import forward, pull_down
from locoprop_ref.training import config

PUBLIC = {
    name: value for name in locoprop_ref.__all__ if callable(value := getattr(locoprop_ref, name))
} | {
    "train": training.train, "resolve": config.resolve, "load": data.load, "check": oracle.check,
    "check_results": oracle.check_results, "cases": oracle.cases, "verify": verify.verify,
    "check_transfer": verify.check_transfer,
}  # fmt: skip
# records of what was computed, which check nothing and promise nothing
RECORDS = {"LayerTarget", "OutputLoss", "Trace"}
PARTS = {
    "x": np.ones((2, 3)),
    "y_target": np.ones((2, 1)),
    "transfer": transfer("tanh"),
    "W0": np.ones((3, 1)),
}
SQUARED = LocalProblem(**PARTS | {"transfer": transfer("identity")}, weight_step=1.0)
EXAMPLES = {
    "initialize": {"layer_sizes": (2, 1), "transfers": "tanh"},
    "LocalProblem": PARTS,
    "Layer": {"W": np.ones((2, 1)), "b": None, "transfer": transfer("tanh")},
    "LocoProp": {"local_loss": "matching"},
    "newton": {"problem": SQUARED},
    "closed_form": {"problem": SQUARED},
    "descend": {"problem": SQUARED, "optimizer": optimizer("sgd")},
    "check_transfer": {"transfer": transfer("tanh")},
    "check": {"target": lambda *arguments: NotImplemented, "which": []},
    "check_results": {
        "document": {"schema": 1, "vectors": 2, "implementation": "a", "dtype": "float64", "results": {}}
    },
    "train": {"config": config.resolve()},
    "RunningMetric": {"weight_step": 1.0},
    "DecoupledDecay": {"weight_step": 1.0},
}
# what is only stored, or only looked at when it is used
NOT_CHECKED = {
    ("LocalProblem", "regularizer_state"), ("LocalProblem", "num_examples"), ("Transfer", "name"),
    ("check", "implementation"), ("descend", "state"),
    ("initialize", "device"),  # which the array library refuses in its own words
}  # fmt: skip


class Foreign:
    """An object that no function wants."""


def promised(function):
    """The names of the exceptions in the section "Raises:" of a docstring."""
    section = (inspect.getdoc(function) or "").partition("\nRaises:\n")[2].partition("\n\n")[0]
    found = re.findall(r"^    ((?:[\w.]+(?:, )?)+):", section, flags=re.MULTILINE)
    return {name.rpartition(".")[2] for names in found for name in names.split(", ")}


def calls():
    """(name of the function, the arguments that are foreign, all arguments)."""
    for name, function in PUBLIC.items():
        parameters = [p for p in inspect.signature(function).parameters.values() if p.kind not in (2, 4)]
        needed = [p.name for p in parameters if p.default is p.empty]
        if needed:
            yield name, tuple(needed), {one: Foreign() for one in needed}
        if not needed or name in EXAMPLES:
            for one in parameters:
                yield name, (one.name,), EXAMPLES.get(name, {}) | {one.name: Foreign()}


CALLS = [call for call in calls() if call[0] not in RECORDS and (call[0], *call[1]) not in NOT_CHECKED]
IDS = ["-".join((name, *foreign)) for name, foreign, _ in CALLS]


def test_the_promises_are_read():
    assert promised(locoprop_ref.Network) == {"ValueError", "TypeError"}
    assert promised(training.train) >= {"OSError", "KeyboardInterrupt"}
    assert len(CALLS) > 150
    assert all(not promised(PUBLIC[name]) for name in RECORDS)


@pytest.mark.parametrize(("name", "foreign", "arguments"), CALLS, ids=IDS)
def test_what_is_foreign_is_refused_as_promised(name, foreign, arguments):
    """In one sentence, and never as Python says that an attribute is missing."""
    wanted = promised(PUBLIC[name])
    with pytest.raises((TypeError, ValueError), match=r"^[^\n]+$") as caught:
        PUBLIC[name](**arguments)
    assert wanted & {kind.__name__ for kind in type(caught.value).__mro__}
    assert re.search(" must | has no meaning ", str(caught.value))


NETWORK = initialize((3, 2, 1), transfers="tanh")
TRACE = forward(NETWORK, np.ones((2, 3)))
# what somebody calls who writes a target, a backend or a figure of her own
PARTS_OF_PARTS = {
    "pull_down-network": lambda wrong: pull_down(wrong, TRACE, np.ones((2, 1))),
    "pull_down-trace": lambda wrong: pull_down(NETWORK, wrong, np.ones((2, 1))),
    "output_jacobians-network": lambda wrong: output_jacobians(wrong, TRACE),
    "output_jacobians-trace": lambda wrong: output_jacobians(NETWORK, wrong),
    "codes-network": lambda wrong: CodeTargets().codes(wrong, TRACE, np.ones((2, 1))),
    "codes-trace": lambda wrong: CodeTargets().codes(NETWORK, wrong, np.ones((2, 1))),
    "to_backend-xp": lambda wrong: to_backend([1.0], xp=wrong),
    "dtype_name-array": dtype_name,
    "errors_arriving-network": lambda wrong: plot.errors_arriving(wrong, np.ones((2, 3)), np.ones((2, 1))),
    "filters_of_network-network": plot.filters_of_network,
    "update_against_gradient-problems": lambda wrong: plot.update_against_gradient(
        wrong, local_lr=0.1, num_local_steps=2
    ),
    "learning_by_step-methods": lambda wrong: plot.learning_by_step([1], wrong, {"a": [1.0]}),
    "learning_by_step-inverses": lambda wrong: plot.learning_by_step([1], {"a": [1.0]}, wrong),
}


@pytest.mark.parametrize("wrong", [None, "tanh", 3, Foreign()], ids=["None", "word", "number", "foreign"])
@pytest.mark.parametrize(("name", "call"), PARTS_OF_PARTS.items(), ids=PARTS_OF_PARTS)
def test_what_is_foreign_to_an_inner_part_is_named(name, call, wrong):
    argument = name.partition("-")[2]
    with pytest.raises((TypeError, ValueError), match=rf"^{argument} must [^\n]+$"):
        call(wrong)
