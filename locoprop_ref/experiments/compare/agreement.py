"""Where the files of a comparison disagree, in words: two plans, or a run or a clock with its plan."""

from collections.abc import Mapping
from typing import Any

from locoprop_ref.experiments.compare.records import Clock, Data, Manifest

Settings = Mapping[str, Any]


def plan_differences(
    there: Manifest, shared: Settings, entries: Mapping[str, Settings], data: Data | None
) -> list[str]:
    """Return in words where a manifest differs from a plan; more seeds, entries or epochs do not matter.

    Args:
        there: the manifest.
        shared: the plan's shared settings.
        entries: the plan's settings by entry.
        data: the plan's data, None where they are not known yet.
    """
    free = ("data", "epochs") if shared["epochs"] >= there.epochs else ("data",)
    found = _differences(there.shared, shared, without=free)
    if data:
        found += _differences({"data": there.data.name}, {"data": data.name})
        found += _differences({"data sha256": there.data.sha256[:8]}, {"data sha256": data.sha256[:8]})
    for name in there.entries:
        if name in entries:
            found += _differences(there.entries[name].settings, entries[name], of=name)
    return found


def run_differences(run: Settings, here: Manifest, entry: str, seed: int) -> list[str]:
    """Return in words where a run file differs from what its plan wants; more epochs make no difference."""
    found = _differences(run["config"], here.wanted(entry) | {"seed": seed}, of=entry, without=("epochs",))
    sha256 = {"data sha256": str(run["data"].get("sha256"))[:8]}
    return found + _differences(sha256, {"data sha256": here.data.sha256[:8]}, of=entry)


def clock_differences(clock: Clock, here: Manifest, entry: str) -> list[str]:
    """Return in words where a clock file differs from what its plan wants."""
    return _differences(clock.config, here.clocked(entry), of=entry)


def _differences(
    there: Settings, here: Settings, *, of: str = "", without: tuple[str, ...] = ()
) -> list[str]:
    return [
        f"{of} {name} {there.get(name)!r} there, {here.get(name)!r} here".lstrip()
        for name in sorted({*there, *here} - {*without})
        if there.get(name) != here.get(name)
    ]
