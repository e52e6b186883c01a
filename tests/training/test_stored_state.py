"""States on disk keep their spelling: a checkpoint of LocoProp is what it was before the parts had states."""

import json

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from locoprop_ref import METHODS, initialize, method
from locoprop_ref.training.checkpoint import Checkpoint, form, load_checkpoint, save_checkpoint
from locoprop_ref.training.stored_state import from_stored, to_stored

NETWORK = initialize((3, 4, 2), transfers=("tanh", "identity"))


def stepped(name):
    x, t = np.linspace(-1, 1, 15).reshape(5, 3), np.linspace(0, 1, 10).reshape(5, 2)
    ours = method(name)
    network = initialize((3, 4, 2), transfers="relu") if name == "admm" else NETWORK
    return ours.step(network, ours.init(network), x, t)[1]


@pytest.mark.parametrize("name", METHODS)
def test_a_state_comes_back_from_a_checkpoint(name, tmp_path):
    state = stepped(name)
    run = {"config": {"method": name}}
    save_checkpoint(tmp_path / "c.npz", Checkpoint(NETWORK, state, None, run))
    assert form(load_checkpoint(tmp_path / "c.npz", xp=np).state) == form(state)


def test_locoprop_is_stored_under_the_names_it_always_had(tmp_path):
    state = stepped("locoprop-m")
    save_checkpoint(
        tmp_path / "c.npz", Checkpoint(NETWORK, state, None, {"config": {"method": "locoprop-m"}})
    )
    with np.load(tmp_path / "c.npz", allow_pickle=False) as stored:
        meta = json.loads(stored["meta"].tobytes())
        assert set(meta["state"]) == {"layers"}
        assert set(meta["state"]["layers"][0]) == {"mean_square", "momentum_buffer"}
        kept = state["layers"][1]["solver"]["mean_square"]
        assert_array_equal(stored[meta["state"]["layers"][1]["mean_square"]["$array"]], kept)


def test_a_part_with_a_state_of_its_own_is_stored_with_it():
    run = {"config": {"method": "locoprop-s-closed"}}
    learning = {"targets": {"inverse": 1}, "layers": ({"solver": {}, "regularizer": {}},)}
    remembering = {"targets": {}, "layers": ({"solver": {}, "regularizer": {"P": 1}},)}
    for state in (learning, remembering):
        assert to_stored(state, run) is state
        assert from_stored(state, run) is state
