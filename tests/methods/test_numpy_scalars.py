"""Settings from a sweep are NumPy scalars: they are kept as plain numbers, and change no dtype."""

import dataclasses
import json

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from locoprop_ref import METHODS, Proximal, closed_form, initialize, method, newton, optimizer
from locoprop_ref.local import LocalProblem
from locoprop_ref.methods.backprop import backprop
from locoprop_ref.methods.options import HYPER, options_of
from locoprop_ref.methods.roots import inverse_root
from locoprop_ref.network import forward
from locoprop_ref.solvers import ClosedForm, Descend, Newton
from locoprop_ref.targets import GradientTargets, code_update, target
from locoprop_ref.training.build import build_method
from locoprop_ref.training.config import resolve
from locoprop_ref.training.options import as_json
from locoprop_ref.transfers import transfer


def as_numpy(value):
    """A plain number as the NumPy scalar of its kind; everything else as it is."""
    kinds = {bool: np.bool_, int: np.int64, float: np.float64}
    return kinds.get(type(value), lambda same: same)(value)


def leaves(value):
    """All values of a dataclass, with those of the dataclasses in it."""
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from leaves(getattr(value, field.name))
    elif isinstance(value, tuple):
        for part in value:
            yield from leaves(part)
    else:
        yield value


def arrays(nest):
    if isinstance(nest, dict):
        return [a for part in nest.values() for a in arrays(part)]
    if isinstance(nest, tuple):
        return [a for part in nest for a in arrays(part)]
    return [nest] if hasattr(nest, "shape") else []


def options_in_numpy(name):
    """All options of a method, but for those that its other defaults make meaningless."""
    idle = {
        "shampoo": {"factor_decay", "grafting_decay", "grafting_epsilon"},
        "am": {"last_target_step"},
    }.get(name, set())
    found = {option: as_numpy(value) for option, value in options_of(name).items() if option not in idle}
    return {"method": name} | found


@pytest.mark.parametrize("name", METHODS)
def test_a_method_made_of_numpy_scalars_is_the_plain_one(name):
    ours = build_method(resolve(**options_in_numpy(name)))
    assert ours == method(name)
    assert not [value for value in leaves(ours) if isinstance(value, np.generic)]


@pytest.mark.parametrize("name", METHODS)
def test_two_steps_stay_in_float32(name):
    """Once the rate of a sweep made float64 weights of float32 ones, and the second step failed."""
    options = options_in_numpy(name)
    if "learning_rate" in options:
        options["learning_rate"] = np.logspace(-4, -3, 2)[1]
    ours = build_method(resolve(**options, dtype="float32"))
    network = initialize(
        (4, 3, 2), transfers=["relu" if name == "admm" else "tanh", "identity"], dtype="float32"
    )
    rng = np.random.default_rng(0)
    x, t = (rng.uniform(size=(6, width)).astype("float32") for width in (4, 2))
    state = ours.init(network)
    for rate in np.array([1.0, 0.5]):
        network, state, _ = ours.step(network, state, x, t, rate=rate)
    for values in [*(layer.stacked for layer in network.layers), *arrays(state)]:
        assert values.dtype == np.float32


@pytest.mark.parametrize("name", HYPER)
def test_optimizers_keep_plain_numbers(name):
    rule = optimizer(name)
    given = {f.name: as_numpy(getattr(rule, f.name)) for f in dataclasses.fields(rule)}
    again = type(rule)(**given)
    assert again == rule
    assert not [value for value in leaves(again) if isinstance(value, np.generic)]
    W = np.ones((2, 2), dtype="float32")
    ours = backprop(name, np.float64(0.1))
    assert type(ours.learning_rate) is float
    change, _ = again.update(W, again.init(W), ours.learning_rate)
    assert change.dtype == np.float32


def test_the_parts_keep_plain_numbers():
    parts = [
        Proximal(np.float32(0.5)),
        GradientTargets(np.float64(2)), GradientTargets((np.float64(2), np.int64(3))),
        Descend(local_lr=np.float64(1e-3), num_local_steps=np.int64(2)),
        Newton(np.float64(1e-6), np.int64(3), np.int64(2**20)),
    ]  # fmt: skip
    for part in parts:
        assert not [value for value in leaves(part) if isinstance(value, np.generic)]


def test_functions_and_solvers_take_numpy_scalars_as_plain_numbers():
    x = np.linspace(-1, 1, 12, dtype="float32").reshape(4, 3)
    W0 = np.zeros((3, 2), dtype="float32")
    y = np.ones((4, 2), dtype="float32")
    network = initialize((3, 2, 2), transfers="tanh", dtype="float32")
    found = [
        target(y, y, np.float64(2.0)),
        *code_update(network, forward(network, x), y, np.float64(0.5)),
        inverse_root(np.eye(2, dtype="float32"), np.int64(4), ridge=np.float64(0.1)),
    ]
    for name, solver in (("identity", ClosedForm()), ("tanh", Descend()), ("tanh", Newton())):
        problem = LocalProblem(x, y * np.float32(0.5), transfer(name), W0, weight_step=np.float64(0.1))
        plain = LocalProblem(x, y * np.float32(0.5), transfer(name), W0, weight_step=0.1)
        W, _, _ = solver(problem, solver.init(W0), np.float64(0.5))
        assert_array_equal(W, solver(plain, solver.init(W0), 0.5)[0])
        found.append(W)
        with pytest.raises(ValueError, match="rate must be a finite number of at least 0, got -1"):
            solver(problem, solver.init(W0), -1)
    found += [closed_form(LocalProblem(x, y, transfer("identity"), W0, weight_step=np.float64(0.1)))]
    found += [newton(LocalProblem(x, y / 2, transfer("tanh"), W0, weight_step=np.float64(0.1)))[0]]
    for values in found:
        assert values.dtype == np.float32


def test_a_config_of_numpy_scalars_is_written_as_json():
    """`epochs=np.int64(1)` once failed in the run file, after the training."""
    sweep = {
        "epochs": np.int64(1), "batch_size": np.int32(10), "width": np.float32(0.5), "depth": np.int64(1),
        "bias": np.bool_(False), "seed": np.uint8(3), "local_lr": np.float64(1e-4),
    }  # fmt: skip
    config = resolve(**sweep)
    assert json.loads(json.dumps(as_json(config)))["batch_size"] == 10
    assert config == resolve(**{name: value.item() for name, value in sweep.items()})
