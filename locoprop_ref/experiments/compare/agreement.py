"""Where the files of a comparison disagree, in words: two plans, or a run or a clock with its plan."""

from collections.abc import Mapping
from typing import Any


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Return in words where two manifests differ; more seeds, methods or epochs make no difference.

    A manifest without "data" is not compared in its data.
    """
    pairs: dict[str, tuple[Any, Any]] = {
        name: (there["shared"].get(name), here["shared"].get(name))
        for name in sorted(there["shared"] | here["shared"])
        if name != "data"
    }
    if here["shared"]["epochs"] >= there["shared"]["epochs"]:
        pairs.pop("epochs")
    if "data" in here:
        pairs["data"] = (there["data"]["name"], here["data"]["name"])
        pairs["data sha256"] = (there["data"]["sha256"][:8], here["data"]["sha256"][:8])
    for contestant in there["contestants"]:
        if contestant in here["contestants"]:
            mine, theirs = (m["contestants"][contestant]["settings"] for m in (here, there))
            for name in sorted(mine | theirs):
                pairs[f"{contestant} {name}"] = (theirs.get(name), mine.get(name))
    return _in_words(pairs)


def run_differences(run: Mapping[str, Any], here: Mapping[str, Any], contestant: str, seed: int) -> list[str]:
    """Return in words where a run file differs from what its plan wants; more epochs make no difference."""
    wanted = _wanted(here, contestant, "epochs") | {"seed": seed}
    found = {name: value for name, value in run["config"].items() if name != "epochs"}
    pairs = _pairs(found, wanted, contestant)
    sha256 = str(run["data"].get("sha256"))[:8], here["data"]["sha256"][:8]
    return _in_words(pairs | {f"{contestant} data sha256": sha256})


def clock_differences(clock: Mapping[str, Any], here: Mapping[str, Any], contestant: str) -> list[str]:
    """Return in words where a clock file differs from what its plan wants."""
    return _in_words(
        _pairs(clock["config"], _wanted(here, contestant, "epochs", "schedule_epochs"), contestant)
    )


def _wanted(here: Mapping[str, Any], contestant: str, *without: str) -> dict[str, Any]:
    """Return the settings of a contestant's files by the plan."""
    settings = here["shared"] | here["contestants"][contestant]["settings"] | {"data": here["data"]["name"]}
    return {k: v for k, v in settings.items() if k not in (*without, "images") and v is not None}


def _pairs(
    found: Mapping[str, Any], wanted: Mapping[str, Any], contestant: str
) -> dict[str, tuple[Any, Any]]:
    names = sorted({*found, *wanted})
    return {f"{contestant} {name}": (found.get(name), wanted.get(name)) for name in names}


def _in_words(pairs: Mapping[str, tuple[Any, Any]]) -> list[str]:
    return [
        f"{name} {there!r} there, {here!r} here" for name, (there, here) in pairs.items() if there != here
    ]
