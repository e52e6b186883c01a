"""Generation of the vectors: certified expected values, tolerances with a reason, and flags of each case.

Only `locoprop-ref oracle generate` writes `vectors/*.json`. The same recipes give the same bytes. A change of
an expected value is refused unless the version below is increased (and CHANGELOG.md gives the reason).
"""

import json
import math
from itertools import combinations
from pathlib import Path
from typing import Any

from tqdm import tqdm

from locoprop_ref.data.files import write_atomically
from locoprop_ref.data.records import read_json
from locoprop_ref.oracle.conventions import CONVENTIONS, FAMILY, WIRED, choices
from locoprop_ref.oracle.flags import FLAGS, notes
from locoprop_ref.oracle.layout import text
from locoprop_ref.oracle.recipes import Recipe, all_recipes
from locoprop_ref.oracle.second_source import DIGITS, Inapplicable, context, evaluate, floats
from locoprop_ref.oracle.topics import TOPICS
from locoprop_ref.oracle.vectors import DTYPES, FOLDER, SCHEMA, VERSION, encode

BITS = {"float64": 53, "float32": 24}
MARGIN = 32
EPS_FLOOR = 16
# Iterative solvers stop at their own tolerance: half the digits of the format, slightly more in float64.
EXACT_FLOOR = {"float64": 1e-9, "float32": 1e-4}
# A flag is listed if it changes a value by more than this number of tolerances (float64).
VISIBLE = 16
# Flags of a case are told apart if their results differ by more than this number of tolerances (float64); a
# case lists the pairs that it cannot tell apart.
TOLD_APART = 100
PROVEN = ("rows", "adjoint", "pooling", *WIRED)
# topics whose files are laid out in paragraphs
PARAGRAPHS = (*PROVEN, *FAMILY)


class ChangedValues(ValueError):
    """Raised if expected values differ from those on disk although the version is the same."""


def documents() -> dict[str, dict[str, Any]]:
    """Compute the document of every topic again, and return them by topic."""
    recipes = list(all_recipes())
    return {topic: document(topic, [r for r in recipes if r.topic == topic]) for topic in TOPICS}


def document(topic: str, recipes: list[Recipe]) -> dict[str, Any]:
    """Return the document of one topic; consecutive recipes with the same conventions share a group."""
    groups: list[dict[str, Any]] = []
    used: set[str] = set()
    for recipe in tqdm(recipes, desc=topic, unit="case", disable=None, leave=False):
        stated = stated_conventions(recipe)
        if not groups or groups[-1]["conventions"] != stated:
            groups.append({"conventions": stated, "cases": []})
        case = certified(recipe, stated)
        used |= set(case["flags"])
        groups[-1]["cases"].append(case)
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "topic": topic,
        "title": TOPICS[topic],
        "certified": {"by": "a second implementation in mpmath", "digits": DIGITS},
        "numberOfCases": len(recipes),
        "notes": notes(used),
        "groups": groups,
    }


def stated_conventions(recipe: Recipe) -> dict[str, str]:
    """Return the conventions that a group states: those of its topic, without those of unused optimizers."""
    name = recipe.inputs.get("optimizer")
    dialects = {
        "momentum": ("momentum_form",),
        "nesterov": ("momentum_form",),
        "rmsprop": ("mean_square_start", "epsilon_place", "rate_place"),
        "adagrad": ("accumulator_start", "epsilon_place"),
        "adam": ("adam_epsilon", "bias_correction"),
    }
    silent = {key for keys in dialects.values() for key in keys} - set(dialects.get(name or "", ()))
    full = choices(recipe.conventions)
    stated = {
        row.name: full[row.name]
        for row in CONVENTIONS
        if recipe.topic in row.topics and row.name not in silent
    }
    dialect = recipe.conventions.get("dialect")
    return ({"dialect": dialect} if dialect else {}) | stated


def certified(recipe: Recipe, stated: dict[str, str]) -> dict[str, Any]:
    """Return a case with its expected values, its tolerances and its flags."""
    full = choices(stated)
    truth = evaluate(recipe.topic, full, recipe.inputs)
    tolerance = {dtype: _tolerance(recipe, full, truth, dtype) for dtype in DTYPES}
    visible = visible_flags(recipe, stated, truth, tolerance["float64"])
    alike = cannot_tell(visible, tolerance["float64"], recipe.scale)
    scale = {} if recipe.scale == 1 else {"scale": recipe.scale}
    return {
        "id": recipe.id,
        "comment": recipe.comment,
        "flags": [*recipe.properties, *visible],
        **({"cannot_tell": alike} if alike else {}),
        "inputs": {name: encode(value) for name, value in recipe.inputs.items()},
        "expected": {name: encode(_rounded(value)) for name, value in truth.items()},
        "tolerance": {**tolerance, **scale, "reason": _reason(recipe.topic)},
    }


def _tolerance(recipe: Recipe, full: dict[str, str], truth: dict[str, Any], dtype: str) -> float:
    rough = evaluate(recipe.topic, full, recipe.inputs, ctx=context(bits=BITS[dtype]))
    measured = max(distance(rough[name], truth[name], recipe.scale) for name in truth)
    floor = EPS_FLOOR * 2.0 ** (1 - BITS[dtype])
    if recipe.topic == "exact" or recipe.inputs.get("method") == "locoprop-m-exact":
        floor = EXACT_FLOOR[dtype]
    return _one_digit_up(max(MARGIN * measured, floor))


def _reason(topic: str) -> str:
    text = f"{MARGIN} times the error of the same formulas evaluated with 53 or 24 bits"
    text += f", at least {EPS_FLOOR} eps"
    return text + ("; iterative solvers stop at a tolerance of their own" if topic == "exact" else "")


def _one_digit_up(value: float) -> float:
    """Round up to one significant digit."""
    exponent = math.floor(math.log10(value))
    digit = math.ceil(value / 10.0**exponent - 1e-9)
    return float(f"{digit}e{exponent}")


def flat(value: Any) -> list[Any]:
    """Return the numbers of a nested list, row after row."""
    return [number for part in value for number in flat(part)] if isinstance(value, list) else [value]


def distance(got: Any, expected: Any, scale: float = 1.0) -> float:
    """Return the largest abs(got − expected)/(scale + abs(expected)), inf if one of the two is infinite."""
    return max((_distance(g, e, scale) for g, e in zip(flat(got), flat(expected), strict=True)), default=0.0)


def _distance(got: Any, expected: Any, scale: float) -> float:
    if got == expected:
        return 0.0
    if not (math.isfinite(got) and math.isfinite(expected)):
        return math.inf
    ctx = context(digits=DIGITS)
    return float(abs(ctx.mpf(got) - ctx.mpf(expected)) / (scale + abs(ctx.mpf(expected))))


def visible_flags(
    recipe: Recipe, stated: dict[str, str], truth: dict[str, Any], tolerance: float
) -> dict[str, dict[str, Any]]:
    """Return the flags under which the result of the case would be clearly different, with these results."""
    visible = {}
    # floats overflow where the case is extreme; elsewhere they are fifty times as fast
    ctx = context(bits=80) if "Extreme" in recipe.properties else floats()
    for flag in FLAGS:
        if not flag.concerns(recipe.topic, stated):
            continue
        try:
            other = evaluate(recipe.topic, choices(stated) | flag.change, recipe.inputs, ctx=ctx)
        except (Inapplicable, ArithmeticError):
            continue
        if differ(other, truth, VISIBLE * tolerance, recipe.scale):
            visible[flag.name] = other
    return visible


def cannot_tell(visible: dict[str, dict[str, Any]], tolerance: float, scale: float = 1.0) -> list[list[str]]:
    """Return the pairs of flags whose results are the same, to the precision at which they count as apart."""
    pairs = combinations(visible, 2)
    return [[a, b] for a, b in pairs if not differ(visible[a], visible[b], TOLD_APART * tolerance, scale)]


def differ(other: dict[str, Any], truth: dict[str, Any], bound: float, scale: float = 1.0) -> bool:
    """Return whether a result has another shape, or is further away than this bound."""
    return any(
        _shape(other[name]) != _shape(truth[name])
        or any(
            _distance(g, e, scale) > bound for g, e in zip(flat(other[name]), flat(truth[name]), strict=True)
        )
        for name in truth
    )


def _shape(value: Any) -> tuple[int, ...]:
    return (len(value), *_shape(value[0])) if isinstance(value, list) and value else ()


def _rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    return float(value) + 0.0  # no negative zeros


# Writing ----------------------------------------------------------------------------------------------------


def write(folder: Path = FOLDER) -> list[Path]:
    """Compute and write all vectors; if one change is refused, nothing is written.

    Raises:
        ChangedValues: an expected value on disk would change although the version is the same.
    """
    fresh = documents()
    for topic, document in fresh.items():
        validate(document)
        refuse_changes(folder / f"{topic}.json", document)
    for topic, document in fresh.items():
        _write(folder / f"{topic}.json", content(document))
    return [folder / f"{topic}.json" for topic in fresh]


def content(document: dict[str, Any]) -> str:
    """Return the text of a file of vectors; the large matrices of newer topics are broken like paragraphs."""
    return text(document, paragraphs_from=1 if document["topic"] in PARAGRAPHS else 13) + "\n"


def _write(path: Path, content: str) -> None:
    write_atomically(path, lambda file: file.write(content.encode()))


def validate(document: dict[str, Any], schema: str = "schema.json") -> None:
    """Check a document against a schema in this folder.

    Raises:
        ValueError: the document violates the schema; one sentence names the most relevant violation.
    """
    import jsonschema

    rules = json.loads((FOLDER.parent / schema).read_text(encoding="utf-8"))
    error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(rules).iter_errors(document))
    if error is not None:
        raise ValueError(f"{error.json_path}: {error.message[:200]}")


def refuse_changes(path: Path, fresh: dict[str, Any]) -> None:
    """Refuse a change of an expected value without a new version."""
    if not path.exists():
        return
    old = read_json(path, "a file of vectors")
    if not isinstance(old, dict) or not {"version", "groups"} <= old.keys():
        raise FileExistsError(f"{path} must be a file of vectors, which alone is replaced, got another file")
    if old["version"] != fresh["version"]:
        return
    values = {
        case["id"]: (case["inputs"], case["expected"]) for group in old["groups"] for case in group["cases"]
    }
    for group in fresh["groups"]:
        for case in group["cases"]:
            if values.get(case["id"], (case["inputs"], case["expected"])) != (
                case["inputs"],
                case["expected"],
            ):
                raise ChangedValues(
                    f"{case['id']} would change under version {VERSION} of the vectors: raise VERSION in "
                    "generate.py and say why in CHANGELOG.md, or give the case a new id"
                )
