"""From a results folder to its table, claims and figures: nothing is trained, same files, same bytes."""

from collections.abc import Callable
from pathlib import Path

from locoprop_ref.data.files import write_atomically
from locoprop_ref.experiments.compare import claims as _claims
from locoprop_ref.experiments.compare import figures
from locoprop_ref.experiments.compare.folder import SCHEMA, Results, read_results, write_json
from locoprop_ref.experiments.compare.pictures import read_reconstructions
from locoprop_ref.experiments.compare.summary import as_json, finished, rows_of
from locoprop_ref.experiments.compare.table import markdown_table, notes, provenance_lines, text_table
from locoprop_ref.plot import save


def redraw(
    folder: Path, say: Callable[[str], None] = lambda sentence: None, *, pictures: Path | None = None
) -> None:
    """Write summary.json, .md, .txt and every figure of a results folder from its JSON files.

    Args:
        folder: what `compare` wrote.
        say: called with the table, the claims and every path.
        pictures: folder for the figures, default the results folder itself.

    Raises:
        OSError, ValueError: no results folder, no finished run in it, a file that is not what it should be.
    """
    results = read_results(folder)
    if not any(finished(results, name) for name in results.manifest["contestants"]):
        raise ValueError(f"{folder} must hold at least one finished run, got none")
    say("\n" + _write_summary(folder, results))
    drawn = {}
    if figures.has_curves(results):
        drawn = {"compare": figures.curves(results), "compare-test": figures.curves(results, "test")}
    if results.clocks:
        drawn["cost"] = figures.cost(results)
    kept = read_reconstructions(folder)
    if kept is not None:
        drawn["reconstructions"] = figures.images(results, kept)
    for stem, figure in drawn.items():
        for end in ("png",) if stem == "reconstructions" else ("png", "svg"):
            say(str(save(figure, (pictures or folder) / f"{stem}.{end}")))


def _write_summary(folder: Path, results: Results) -> str:
    rows = rows_of(results)
    found = _claims.claims(rows)
    about, told, lines = provenance_lines(results), notes(results, rows), _claims.sentences(found)
    write_json(
        folder / "summary.json",
        {
            "schema": SCHEMA,
            **{key: results.manifest[key] for key in ("command", "seeds", "data", "shared", "environment")},
            "rows": as_json(rows),
            "notes": told,
            "claims": _claims.as_json(found),
        },
    )
    text = "\n".join([text_table(rows), "", *told, "", *lines, "", *about])
    bullets = [f"- {line.strip()}" if line.startswith(" ") else f"\n**{line}**\n" for line in lines]
    markdown = "\n".join([markdown_table(rows), "", " ".join(told), *bullets, "", "  \n".join(about)])
    for end, content in (("txt", text), ("md", markdown)):
        _write_text(folder / f"summary.{end}", content)
    return text


def _write_text(path: Path, text: str) -> None:
    write_atomically(path, lambda file: file.write((text + "\n").encode()))
