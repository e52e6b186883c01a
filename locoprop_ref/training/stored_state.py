"""The state of LocoProp in a checkpoint: the one place where its names in memory and on disk differ.

In memory it is {"targets": ..., "layers": ({"solver": ..., "regularizer": ...}, ...)}. Checkpoints hold only
the solvers' states, {"layers": (...)}, as long as the other parts keep nothing: so they were always written,
and so an unfinished run of any version can be resumed. Other methods' states are stored as they are.
"""

from collections.abc import Mapping
from typing import Any


def to_stored(state: Any) -> Any:
    """Return a method's state as a checkpoint holds it.

    >>> to_stored({"targets": {}, "layers": ({"solver": {"count": 1}, "regularizer": {}},)})
    {'layers': ({'count': 1},)}
    """
    if not (isinstance(state, dict) and state.keys() == {"targets", "layers"} and not state["targets"]):
        return state
    if any(entry.keys() != {"solver", "regularizer"} or entry["regularizer"] for entry in state["layers"]):
        return state
    return {"layers": tuple(entry["solver"] for entry in state["layers"])}


def from_stored(state: Any, run: Mapping[str, Any]) -> Any:
    """Return a state in memory, `to_stored` undone.

    Args:
        state: as the checkpoint holds it.
        run: the content of the run file in the same checkpoint, which names the method.

    >>> from_stored({"layers": ({"count": 1},)}, {"config": {"method": "locoprop-m"}})
    {'targets': {}, 'layers': ({'solver': {'count': 1}, 'regularizer': {}},)}
    """
    config = run.get("config")
    method = config.get("method") if isinstance(config, Mapping) else None
    is_locoprop = isinstance(method, str) and method.startswith("locoprop-")
    if not (is_locoprop and isinstance(state, dict) and state.keys() == {"layers"}):
        return state
    if not isinstance(state["layers"], tuple):
        return state
    return {"targets": {}, "layers": tuple({"solver": kept, "regularizer": {}} for kept in state["layers"])}
