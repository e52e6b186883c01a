"""From a results folder to its table, claims, figures and page: the same files give the same bytes."""

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from locoprop_ref.data.files import write_atomically
from locoprop_ref.experiments.compare import figures
from locoprop_ref.experiments.compare.claims import Claim, claims, sentences
from locoprop_ref.experiments.compare.folder import Results, read_results
from locoprop_ref.experiments.compare.notes import notes, provenance_lines
from locoprop_ref.experiments.compare.reconstructions import read_reconstructions
from locoprop_ref.experiments.compare.records import SCHEMA, write_json
from locoprop_ref.experiments.compare.summary import Row, as_json, finished, rows_of
from locoprop_ref.experiments.compare.table import markdown_table, text_table
from locoprop_ref.plot import save
from locoprop_ref.plot.style import alt_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)
TITLES = {
    "compare": "Train loss",
    "compare-test": "Test loss",
    "cost": "What a step costs",
    "reconstructions": "Test images and their reconstructions",
}


def redraw(folder: Path, *, pictures: Path | None = None) -> None:
    """Write summary.json, .md, .txt and every figure of a results folder from its JSON files.

    Args:
        folder: what `compare` wrote.
        pictures: folder for the figures, default the results folder itself; the page links to them there.

    Raises:
        OSError, ValueError: no results folder, no finished run in it, a file that is not what it should be.
    """
    results = read_results(folder)
    if not any(finished(results, entry) for entry in results.manifest.entries):
        raise ValueError(f"{folder} must hold at least one finished run, got none")
    rows, drawn = rows_of(results), _figures(folder, results)
    found = claims(rows)
    _write_summary(folder / "summary.json", results, rows, found)
    text = _text(results, rows, found)
    _write_text(folder / "summary.txt", text)
    where = quote(Path(os.path.relpath(pictures or folder, folder)).as_posix())
    _write_text(folder / "summary.md", _page(results, rows, found, drawn, where))
    log.info("\n%s", text)
    for stem, figure in drawn.items():
        for end in ("png",) if stem == "reconstructions" else ("png", "svg"):
            log.info("%s", save(figure, (pictures or folder) / f"{stem}.{end}"))


def _figures(folder: Path, results: Results) -> "dict[str, Figure]":
    """Draw what the folder has numbers for."""
    drawn = {}
    if figures.has_curves(results):
        drawn = {"compare": figures.curves(results), "compare-test": figures.curves(results, "test")}
    if results.clocks:
        drawn["cost"] = figures.cost(results)
    kept = read_reconstructions(folder)
    if kept is not None:
        drawn["reconstructions"] = figures.images(results, kept)
    return drawn


def _write_summary(path: Path, results: Results, rows: list[Row], found: list[Claim]) -> None:
    manifest = results.manifest
    content = {
        "schema": SCHEMA,
        "command": manifest.command,
        "seeds": manifest.seeds,
        "data": manifest.data,
        "shared": manifest.shared,
        "environment": manifest.environment,
        "rows": as_json(rows),
        "notes": notes(results, rows),
        "claims": found,
    }
    write_json(path, content)


def _text(results: Results, rows: list[Row], found: list[Claim]) -> str:
    """Return the table, its notes, the claims and what made them, as text for a terminal."""
    parts = [[text_table(rows)], notes(results, rows), sentences(found), provenance_lines(results)]
    return "\n\n".join("\n".join(part) for part in parts)


def _page(
    results: Results, rows: list[Row], found: list[Claim], drawn: "dict[str, Figure]", where: str
) -> str:
    """Return the page of a comparison in Markdown; its figures are in the folder `where`, seen from here."""
    manifest, made = results.manifest, provenance_lines(results)
    seeds = "1 seed" if len(manifest.seeds) == 1 else f"{len(manifest.seeds)} seeds"
    lines = [
        f"# {len(rows)} methods on {manifest.data.name}: {manifest.epochs} epochs, {seeds}",
        "`locoprop-ref compare` wrote this page from the JSON files beside it; "
        "`locoprop-ref compare --redraw` writes it again.",
        f"## Results\n\n{markdown_table(rows)}",
        " ".join(notes(results, rows)),
        "## The claims of the paper\n\nThe rule is in `locoprop_ref/experiments/compare/claims.py`; every "
        "variant of LocoProp stands by itself.",
    ]
    for number, claim in enumerate(found, start=1):
        lines.append(f"### ({number}) {claim.statement}: {claim.verdict}")
        bullets = []
        for label, variant in claim.variants.items():
            bullets.append(f"- **{label}: {variant.verdict}.**")
            bullets += [f"  - {finding.sentence}" for finding in variant.tests]
        lines.append("\n".join(bullets))
    lines.append("## Figures")
    for stem, figure in drawn.items():
        described = alt_text(figure).partition(made[0])[0].strip().replace("[", "(").replace("]", ")")
        lines.append(f"### {TITLES[stem]}\n\n![{described}]({where}/{stem}.png)")
    lines.append("## How it was made\n\n" + "\n".join(f"- {line}" for line in made))
    return "\n\n".join(lines)


def _write_text(path: Path, text: str) -> None:
    write_atomically(path, lambda file: file.write((text + "\n").encode()))
