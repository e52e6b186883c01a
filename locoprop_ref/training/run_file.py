r"""The run file: one JSON that says what was run, on what, and how the losses fell.

    schema        1
    config        every option, see `config.Config`
    data          {name, sha256}
    environment   versions, array library, BLAS and threads; no host name, no paths
    epochs        [{epoch, train {ce, mse, ...}, test {...}, step_seconds, eval_seconds, ...}], 0 = untrained
    status        running, finished, interrupted or diverged
    message       why it stopped early, one sentence, where it did
    jobs          runs side by side on the machine, where known: seconds tell something only where it is 1
    command       of the comparison that the run is of, where it is of one

`ce` is the cross-entropy summed over the outputs and averaged over the examples (`squared_error` instead for
that network loss); `mse` the mean over outputs and examples; `accuracy` a share. Time axes are the summed
`step_seconds`: evaluation is not in them.
"""

import json
import os
from math import isfinite
from pathlib import Path
from typing import Any

from locoprop_ref.data.files import write_atomically

SCHEMA = 1
STATUSES = ("running", "finished", "interrupted", "diverged")


def write_run(path: str | os.PathLike[str], run: dict[str, Any]) -> None:
    """Write a run file atomically; NaN and infinity are refused, JSON has neither.

    Raises:
        OSError: it cannot be written; an earlier state of the file is intact.
    """
    text = json.dumps(run, indent=1, allow_nan=False) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))


def read_run(path: str | os.PathLike[str], *, max_bytes: int = 1 << 26) -> dict[str, Any]:
    """Read a run file and check its form.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no run file of this schema; one sentence that says where it is off.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} must be a run file, got a directory")
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise ValueError(f"{path} must be a run file of at most {max_bytes} bytes, got {size}")
        run = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} must be a run file, got nothing by that name") from None
    except PermissionError:
        raise PermissionError(f"{path} must be readable, got permission denied") from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{path} must be a run file in JSON, got text that is not JSON ({reason})") from None
    wrong = problem(run)
    if wrong:
        raise ValueError(f"{path} must be a run file of schema {SCHEMA}, but {wrong}")
    return run


def problem(run: Any) -> str | None:
    """Return what is wrong with a run file's form, or None."""
    if not isinstance(run, dict):
        return f"it holds a {type(run).__name__}"
    if run.get("schema") != SCHEMA:
        return f"its schema is {run.get('schema')!r}"
    for key in ("config", "data", "environment"):
        if not isinstance(run.get(key), dict):
            return f"its {key} is {run.get(key)!r}"[:80]
    if not isinstance(run["config"].get("method"), str):
        return "its config has no method"
    if run.get("status") not in STATUSES:
        return f"its status is {run.get('status')!r}"[:80]
    if not isinstance(run.get("command", ""), str):
        return f"its command is {run['command']!r}"[:80]
    if not isinstance(run.get("epochs"), list) or not run["epochs"]:
        return "it has no epochs"
    for index, row in enumerate(run["epochs"]):
        if not (isinstance(row, dict) and row.get("epoch") == index):
            return f"its epoch {index} is missing"
        if not all(_numbers(row.get(key)) for key in ("train", "test")):
            return f"the losses of its epoch {index} are missing"
        if any(set(row[key]) != set(run["epochs"][0][key]) for key in ("train", "test")):
            return f"its epoch {index} has other losses than the first"
        if not all(_number(row.get(key)) for key in ("step_seconds", "eval_seconds")):
            return f"the seconds of its epoch {index} are missing"
    return None


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _numbers(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and all(map(_number, value.values()))
