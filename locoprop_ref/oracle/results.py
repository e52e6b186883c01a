"""Results files, in which an implementation in any language stores its results by the ids of the vectors.

    {"schema": 1, "vectors": 2, "implementation": "...", "dtype": "float64" or "float32",
     "results": {"closed_form/primal": {"W": [[...]], "b": [...]}, "exact/tanh": null, ...}}

`vectors` is the version of the vectors for which the file was made. null, and a topic without any id, mean
"not covered".
"""

import json
import time
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from locoprop_ref import checks
from locoprop_ref.data.files import user_path
from locoprop_ref.oracle.check import finished, judge, selected_cases
from locoprop_ref.oracle.outcome import ERROR, NOT_COVERED, Result
from locoprop_ref.oracle.report import Report
from locoprop_ref.oracle.vectors import DTYPES, SCHEMA, VERSION, Case, cases, decode

MAX_BYTES = 64 * 2**20


class BadResults(ValueError):
    """Raised for a results file that cannot be used at all; the message is one sentence."""


def read(path: Path) -> dict[str, Any]:
    """Read a results file and check everything except the results themselves.

    Raises:
        BadResults: the file is unreadable, too large, not JSON, nested too deeply, or does not match the
            schema.
    """
    try:
        if path.exists() and not path.is_file():  # a pipe could block for ever
            raise BadResults(f"{path} must be a regular file, got a directory, pipe, socket or device")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise BadResults(f"{path} must be at most {MAX_BYTES // 2**20} MiB, got {size / 2**20:.0f} MiB")
        document = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_no_duplicates)
    except OSError as error:
        raise BadResults(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise BadResults(f"{path} must be UTF-8 text: byte {error.start} is not") from error
    except json.JSONDecodeError as error:
        raise BadResults(
            f"{path} is no JSON: {error.msg} in line {error.lineno}, column {error.colno}"
        ) from error
    except RecursionError as error:
        raise BadResults(f"{path} is nested too deeply to be a results file") from error
    except BadResults:
        raise
    except ValueError as error:
        raise BadResults(f"{path} is no usable JSON: {' '.join(str(error).split())[:120]}") from error
    _check_frame(path, document)
    return document


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadResults(f"the results file gives {twice[:80]!r} twice")
    return document


def _check_frame(path: Path, document: Any) -> None:
    wanted = {"schema", "implementation", "dtype", "results"}
    if not isinstance(document, dict):
        raise BadResults(f"{path} must hold a JSON object, got {type(document).__name__}")
    if missing := sorted(wanted - set(document)):
        raise BadResults(f"{path} must have {', '.join(sorted(wanted))}; {', '.join(missing)} missing")
    if document["schema"] != SCHEMA or isinstance(document["schema"], bool):
        raise BadResults(f"{path}: schema must be {SCHEMA}, got {str(document['schema'])[:40]!r}")
    version = document.get("vectors", 1)  # files of the first version did not say so
    if version != VERSION or isinstance(version, bool):
        raise BadResults(
            f"{path} was made for version {str(version)[:20]} of the vectors, and these are version "
            f"{VERSION}: compute the results again from these vectors, and write "
            f'"vectors": {VERSION} into the file'
        )
    if not isinstance(document["implementation"], str):
        raise BadResults(
            f"{path}: implementation must be text, got {type(document['implementation']).__name__}"
        )
    if document["dtype"] not in DTYPES:
        raise BadResults(
            f"{path}: dtype must be one of {', '.join(DTYPES)}, got {str(document['dtype'])[:40]!r}"
        )
    if not isinstance(document["results"], dict):
        raise BadResults(
            f"{path}: results must be an object of ids, got {type(document['results']).__name__}"
        )


def check_results(
    document: Mapping[str, Any] | Path | str,
    which: Iterable[Case] | None = None,
    *,
    require: Iterable[str] = (),
    diagnose: bool = True,
    strict: bool = False,
) -> Report:
    """Compare the results in a results file, or in such a document, and diagnose what is wrong.

    Args:
        document: the path of the file, or the document itself.
        which: cases to compare, default all.
        require: topics that must be covered.
        diagnose: whether to search for the deviation that explains the failing cases (needs mpmath).
        strict: whether acceptable variants count as failures.

    Returns:
        the report.

    Raises:
        BadResults: the file cannot be used at all.
        TypeError: diagnose, strict, require or which is nothing of the kind.
    """
    for name, switch in (("diagnose", diagnose), ("strict", strict)):
        checks.boolean(name, switch)
    if isinstance(document, Path | str):
        document = read(user_path(document, "results"))
    else:
        _check_frame(Path("the document"), document)
    start, given, dtype = time.perf_counter(), document["results"], document["dtype"]
    selected = selected_cases(which)
    covered = {id_.partition("/")[0] for id_ in given}
    results = [_result(case, given, covered, dtype) for case in selected]
    problems = _unknown_ids(given, {case.id for case in cases()})
    elapsed = time.perf_counter() - start
    return finished(
        document["implementation"], dtype, results, require,
        problems=problems, elapsed=elapsed, diagnose=diagnose, strict=strict,
    )  # fmt: skip


def _result(case: Case, given: Mapping[str, Any], covered: set[str], dtype: str) -> Result:
    if case.id not in given:
        if case.topic in covered:
            return Result(case, ERROR, message="missing from the results, which cover others of its topic")
        return Result(case, NOT_COVERED)
    values = given[case.id]
    if values is None:
        return Result(case, NOT_COVERED)
    if not isinstance(values, dict):
        return Result(
            case, ERROR, message=f"must be an object of {', '.join(case.expected)}, got {str(values)[:40]}"
        )
    decoded = {}
    for name in values:
        if name not in case.expected:
            decoded[name] = values[name]  # only its name is looked at
        else:
            try:
                decoded[name] = decode(values[name])
            except (ValueError, RecursionError) as error:
                return Result(case, ERROR, message=f"{name}: {error}")
    return judge(case, decoded, dtype)


def _unknown_ids(given: Mapping[str, Any], known: set[str]) -> list[str]:
    unknown = [id_ for id_ in given if id_ not in known]
    sentences = []
    for id_ in unknown[:5]:
        nearest = get_close_matches(id_[:100], known, n=1)
        hint = f" (did you mean {nearest[0]!r}?)" if nearest else ""
        sentences.append(f"unknown id {id_[:80]!r} in the results{hint}")
    if len(unknown) > 5:
        sentences.append(f"{len(unknown) - 5} more unknown ids in the results")
    return sentences
