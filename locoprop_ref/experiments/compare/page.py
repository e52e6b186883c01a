"""From a results folder to its table, claims, figures and page: the same files give the same bytes."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from locoprop_ref.data.files import check_outputs, real_path, write_atomically
from locoprop_ref.experiments.compare import figures, poster_figures
from locoprop_ref.experiments.compare.claims import Claim, claims, fast_claims, sentences
from locoprop_ref.experiments.compare.folder import Results, read_results
from locoprop_ref.experiments.compare.frontier_figure import frontier, has_frontier
from locoprop_ref.experiments.compare.notes import notes, provenance_lines
from locoprop_ref.experiments.compare.poster_claims import PRESETS as POSTERS
from locoprop_ref.experiments.compare.poster_claims import poster_claims
from locoprop_ref.experiments.compare.reconstructions import read_reconstructions
from locoprop_ref.experiments.compare.records import SCHEMA, Manifest, write_json
from locoprop_ref.experiments.compare.summary import Row, as_json, classifies, finished, rows_of
from locoprop_ref.experiments.compare.table import markdown_table, text_table
from locoprop_ref.plot import save
from locoprop_ref.plot.style import alt_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)
TITLES = {
    "compare": "Train loss",
    "compare-test": "Test loss",
    "compare-accuracy": "Test accuracy",
    "first-epoch": "Test error within the first epoch",
    "epochs": "Test error by epoch",
    "frontier": "Train loss against seconds, with the better of both settings",
    "cost": "What a step costs",
    "reconstructions": "Test images and their reconstructions",
}


def redraw(folder: Path, *, pictures: Path | None = None, overwrite: bool = False) -> None:
    """Write summary.json, .md, .txt and every figure of a results folder from its JSON files.

    Args:
        folder: what `compare` wrote.
        pictures: folder for the figures, default the results folder itself; the page links to them there.
        overwrite: whether files in another folder for the figures may be replaced.

    Raises:
        OSError, ValueError: no results folder, no finished run in it, a file that is not what it should be.
    """
    results = read_results(folder)
    if not any(finished(results, entry) for entry in results.manifest.entries):
        raise ValueError(f"{folder} must hold at least one finished run, got none")
    summary, drawn = Summary.of(results), _figures(folder, results)
    files = {
        (pictures or folder) / f"{stem}.{end}": figure
        for stem, figure in drawn.items()
        for end in (("png",) if stem == "reconstructions" else ("png", "svg"))
    }
    if pictures is not None and real_path(pictures) != real_path(folder):
        check_outputs({f"figures/{path.name}": path for path in files}, overwrite=overwrite)
    where = quote(Path(os.path.relpath(pictures or folder, folder)).as_posix())
    write_json(folder / "summary.json", summary.as_json())
    _write_text(folder / "summary.txt", summary.as_text())
    _write_text(folder / "summary.md", summary.as_page(drawn, where))
    log.info("\n%s", summary.as_text())
    for path, figure in files.items():
        log.info("%s", save(figure, path))


def _figures(folder: Path, results: Results) -> "dict[str, Figure]":
    """Draw what the folder has numbers for."""
    drawn = {}
    if results.manifest.preset in POSTERS:
        drawn = poster_figures.drawn(results)
    elif figures.has_curves(results):
        drawn = {"compare": figures.curves(results), "compare-test": figures.curves(results, "test")}
        if classifies(results):
            drawn["compare-accuracy"] = figures.curves(results, "test", "accuracy")
    if has_frontier(results):
        drawn["frontier"] = frontier(results)
    if results.clocks:
        drawn["cost"] = figures.cost(results)
    kept = read_reconstructions(folder)
    if kept is not None:
        drawn["reconstructions"] = figures.images(results, kept)
    return drawn


@dataclass(frozen=True)
class Summary:
    """What came out of a comparison: the table, its notes, the claims, and what made them."""

    manifest: Manifest
    rows: list[Row]
    notes: list[str]
    claims: list[Claim]
    made: list[str]

    @classmethod
    def of(cls, results: Results) -> "Summary":
        """Sum up a results folder."""
        rows = rows_of(results)
        found = (
            poster_claims(results)
            if results.manifest.preset in POSTERS
            else [*claims(rows), *fast_claims(rows)]
        )
        return cls(results.manifest, rows, notes(results, rows), found, provenance_lines(results))

    def as_json(self) -> dict[str, Any]:
        """Return the content of summary.json."""
        manifest = self.manifest
        return {
            "schema": SCHEMA,
            "command": manifest.command,
            "seeds": manifest.seeds,
            "data": manifest.data,
            "shared": manifest.shared,
            "environment": manifest.environment,
            "rows": as_json(self.rows),
            "notes": self.notes,
            "claims": self.claims,
        }

    def as_text(self) -> str:
        """Return summary.txt, which the terminal shows too."""
        parts = [[text_table(self.rows)], self.notes, sentences(self.claims), self.made]
        return "\n\n".join("\n".join(part) for part in parts)

    def as_page(self, drawn: "dict[str, Figure]", where: str) -> str:
        """Return summary.md, the page in Markdown; its figures are in the folder `where`, seen from there."""
        manifest, count = self.manifest, len(self.manifest.seeds)
        seeds = "1 seed" if count == 1 else f"{count} seeds"
        epochs = " or ".join(map(str, manifest.different_epochs))
        lines = [
            f"# {len(self.rows)} methods on {manifest.data.name}: {epochs} epochs, {seeds}",
            "`locoprop-ref compare` wrote this page from the JSON files beside it; "
            "`locoprop-ref compare --redraw` writes it again.",
            f"## Results\n\n{markdown_table(self.rows)}",
            " ".join(self.notes),
            _about_claims(manifest),
        ]
        for number, claim in enumerate(self.claims, start=1):
            lines.append(f"### ({number}) {claim.statement}: {claim.verdict}")
            bullets = []
            for label, variant in claim.variants.items():
                bullets.append(f"- **{label}: {variant.verdict}.**")
                bullets += [f"  - {finding.sentence}" for finding in variant.tests]
            lines.append("\n".join(bullets))
        lines.append("## Figures")
        for stem, figure in drawn.items():
            # the description ends with what made the figure, which the page says once for all
            described = alt_text(figure).partition(self.made[0])[0].strip()
            described = described.replace("[", "(").replace("]", ")")
            lines.append(f"### {TITLES[stem]}\n\n![{described}]({where}/{stem}.png)")
        lines.append("## How it was made\n\n" + "\n".join(f"- {line}" for line in self.made))
        return "\n\n".join(lines)


def _about_claims(manifest: Manifest) -> str:
    whose, rule, variants = "paper", "claims", "LocoProp"
    if manifest.preset in POSTERS:
        whose, rule, variants = "poster", "poster_claims", "alternating minimization"
    return (
        f"## The claims of the {whose}\n\nThe rule is in `locoprop_ref/experiments/compare/{rule}.py`; "
        f"every variant of {variants} stands by itself."
    )


def _write_text(path: Path, text: str) -> None:
    write_atomically(path, lambda file: file.write((text + "\n").encode()))
