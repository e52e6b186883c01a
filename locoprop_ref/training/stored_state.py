"""The state of LocoProp in a checkpoint: the one place where its names in memory and on disk differ.

In memory it is {"targets": ..., "layers": ({"solver": ..., "regularizer": ...}, ...)}. Checkpoints hold only
the solvers' states, {"layers": (...)}, as long as the other parts keep nothing: so they were always written,
and so an unfinished run of any version can be resumed. Other methods' states are stored as they are.
"""

from collections.abc import Mapping
from typing import Any


def to_stored(state: Any, run: Mapping[str, Any]) -> Any:
    """Return a method's state as the checkpoint of a run holds it.

    Args:
        state: as in memory.
        run: the content of the run file in the same checkpoint, which names the method; without it the state
            is stored as it is.

    >>> state = {"targets": {}, "layers": ({"solver": {"count": 1}, "regularizer": {}},)}
    >>> to_stored(state, {"config": {"method": "locoprop-m"}})
    {'layers': ({'count': 1},)}
    """
    if not _is_of_locoprop(run) or state["targets"]:
        return state
    if any(entry["regularizer"] for entry in state["layers"]):
        return state
    return {"layers": tuple(entry["solver"] for entry in state["layers"])}


def from_stored(state: Any, run: Mapping[str, Any]) -> Any:
    """Return a state in memory: `to_stored` undone.

    >>> from_stored({"layers": ({"count": 1},)}, {"config": {"method": "locoprop-m"}})
    {'targets': {}, 'layers': ({'solver': {'count': 1}, 'regularizer': {}},)}
    """
    if not (_is_of_locoprop(run) and isinstance(state, dict) and state.keys() == {"layers"}):
        return state
    if not isinstance(state["layers"], tuple):
        return state
    return {"targets": {}, "layers": tuple({"solver": kept, "regularizer": {}} for kept in state["layers"])}


def _is_of_locoprop(run: Mapping[str, Any]) -> bool:
    config = run.get("config")
    method = config.get("method") if isinstance(config, Mapping) else None
    return isinstance(method, str) and method.startswith("locoprop-")
