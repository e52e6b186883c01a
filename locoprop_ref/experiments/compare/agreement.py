"""Where the files of a comparison disagree, in words: two plans, or the files of an entry with their plan."""

from collections.abc import Mapping
from typing import Any

from locoprop_ref.experiments.compare.records import Data, Manifest, Plan

Settings = Mapping[str, Any]


def plan_differences(there: Manifest, here: Plan, data: Data | None) -> list[str]:
    """Return in words where a manifest differs from a plan; more seeds, entries or epochs do not matter.

    Args:
        there: the manifest.
        here: the plan.
        data: the plan's data, None where they are not known yet.
    """
    free = {"data"} | ({"epochs"} if here.epochs >= there.epochs else set())
    old, new = ({k: v for k, v in plan.shared.items() if k not in free} for plan in (there, here))
    found = differences(old, new)
    if data:
        found += differences({"data": there.data.name}, {"data": data.name})
        found += differences({"data sha256": there.data.sha256[:8]}, {"data sha256": data.sha256[:8]})
    for name, entry in there.entries.items():
        if name in here.entries:
            found += differences(entry.settings, here.entries[name].settings, of=name)
    return found


def differences(there: Settings, here: Settings, *, of: str = "") -> list[str]:
    """Return in words where the settings in a file (there) differ from those that are wanted (here).

    >>> differences({"width": 2.0}, {"width": 1.0, "depth": 1}, of="adam")
    ['adam depth None there, 1 here', 'adam width 2.0 there, 1.0 here']
    """
    return [
        f"{of} {name} {there.get(name)!r} there, {here.get(name)!r} here".lstrip()
        for name in sorted({*there, *here})
        if there.get(name) != here.get(name)
    ]
