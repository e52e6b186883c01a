"""Whether CuPy's array namespace accepts the calls that the package makes: by signatures, without a GPU.

CuPy imports without a driver, and then shows its functions and their signatures; only making an array fails.

    python tests/helpers/cupy_signatures.py CALLED.json

reads what the plugin `called` has written, and prints how many calls it checked and every one that would
fail.
"""

import inspect
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

ARRAYS = {"float32", "float64", "int32", "int64", "bool", "uint8"}


def refusal(call: dict[str, Any], namespace: Any) -> str | None:
    """Why a call would fail, or None."""
    function = namespace
    for part in call["name"].split("."):
        function = getattr(function, part, None)
        if function is None:
            return f"{call['name']} does not exist"
    if hasattr(function, "types") and hasattr(function, "nin"):
        why = _by_types(call, function)
    else:
        why = _by_signature(call, function)
    missing = {k for k in _kinds(call) if k in ARRAYS and getattr(namespace, k, None) is None}
    why = why or (f"there is no dtype {', '.join(sorted(missing))}" if missing else None)
    return f"{call['name']}: {why}" if why else None


def _kinds(call: dict[str, Any]) -> list[str]:
    return [k for k in [*call["positional"], *call["keywords"].values()] if isinstance(k, str)]


def _by_signature(call: dict[str, Any], function: Any) -> str | None:
    signature = inspect.signature(function)
    try:
        bound = signature.bind(*call["positional"], **call["keywords"])
    except TypeError as error:
        return str(error)
    rest = [p.name for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD]
    passed_on = set(bound.arguments.get(rest[0], ())) if rest else set()
    return f"nothing says that it takes {', '.join(sorted(passed_on))}" if passed_on else None


def _by_types(call: dict[str, Any], ufunc: Any) -> str | None:
    """A ufunc has no signature, but the dtypes that it takes: "dd->d"; a Python number goes with any."""
    given = call["positional"]
    if len(given) != ufunc.nin:
        return f"takes {ufunc.nin} arrays, got {len(given)}"
    if unknown := set(call["keywords"]) - {"out", "dtype", "casting"}:
        return f"does not take {', '.join(sorted(unknown))}"
    wanted = [np.dtype(k).char if k in ARRAYS else None for k in given]
    for types in ufunc.types:
        takes = types.partition("->")[0]
        if "E" not in takes and all(  # bfloat16, which NumPy does not know
            char is None or np.can_cast(char, one) for char, one in zip(wanted, takes, strict=True)
        ):
            return None
    return f"has no form for {', '.join(given)}"


def main() -> None:
    """Check the calls of a file, and print what was found as JSON."""
    import array_api_compat.cupy as namespace

    calls = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["namespace"]
    refused = [why for call in calls if (why := refusal(call, namespace))]
    names = sorted({call["name"] for call in calls})
    print(json.dumps({"calls": len(calls), "functions": names, "refused": refused}))


if __name__ == "__main__":
    main()
