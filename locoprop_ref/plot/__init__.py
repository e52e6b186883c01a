"""Figures: pure functions of numbers that return a matplotlib Figure, one concept per file.

    loss_curves       matching losses as functions of the prediction
    loss_surfaces     matching losses as functions of prediction and target
    training          metrics of runs against epochs and seconds
    images            data and reconstructions
    update_path       angle and length of the update during the inner steps
    preconditioning   gradient, K steps and exact step in a problem with two weights
    filters           the effect of inner steps on the gradient along each eigenvector
    local_losses      the decrease of a local loss
    one_unit          S and M on a saturated unit and on a partly inactive one
    learned           what networks with one input have learned
    libraries         times and results of several array libraries
    patches           a convolution as a dense layer on patches: rows, table, Gram matrix
    secant_slopes     SGD, S and M on one slider; errors of tangents and of secants against γ
    block_fisher      a layer's block of the Fisher matrix, and a Kronecker product
    two_sides         filters from below and from above
    duality           a matching loss and its dual, as gaps and as an area
    shared_weights    filters, also before and after a step; what each step of a sequence adds to the gradient
    target_slider     targets from LocoProp's to target propagation's, in a layer of two units
    by_step           learning by minibatch, and the errors of learned inverses
    moving_codes      the codes of alternating minimization, step by step
    first_wave        predictive coding: the error arrives layer by layer
    online_mistakes   Perceptron and Winnow against the number of irrelevant inputs
    notebook          figures and source code in the form that a notebook displays

`save` writes a figure to a file, and `alt_text` returns its description in words. Matplotlib is imported when
the first figure is drawn.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from locoprop_ref.data.files import check_outputs, user_path
from locoprop_ref.plot.against_default import against_default
from locoprop_ref.plot.block_fisher import kronecker_fisher
from locoprop_ref.plot.by_step import learning_by_step
from locoprop_ref.plot.duality import bregman_duality
from locoprop_ref.plot.filters import inner_step_filters
from locoprop_ref.plot.first_wave import errors_arriving
from locoprop_ref.plot.images import image_grid, reconstructions
from locoprop_ref.plot.learned import learned_functions
from locoprop_ref.plot.libraries import library_comparison
from locoprop_ref.plot.local_losses import local_loss_falling
from locoprop_ref.plot.loss_curves import matching_loss_at, matching_loss_curves, target_objective
from locoprop_ref.plot.loss_surfaces import matching_loss_contours, matching_loss_surface
from locoprop_ref.plot.moving_codes import codes_moving
from locoprop_ref.plot.notebook import interact, show, source, source_of
from locoprop_ref.plot.one_unit import half_dead_unit, saturated_unit
from locoprop_ref.plot.online_mistakes import perceptron_and_winnow
from locoprop_ref.plot.patches import gram_of_patches, patches_as_rows, table_turned_round
from locoprop_ref.plot.preconditioning import preconditioned_step
from locoprop_ref.plot.save import rendered, save
from locoprop_ref.plot.secant_slopes import secant_slopes, tangent_errors
from locoprop_ref.plot.shared_weights import filters_of_a_step, filters_of_network, gradient_through_time
from locoprop_ref.plot.style import alt_text
from locoprop_ref.plot.target_slider import target_displacements
from locoprop_ref.plot.training import training_curves
from locoprop_ref.plot.two_sides import two_sided_filters
from locoprop_ref.plot.update_path import update_against_gradient

__all__ = [
    "figures", "alt_text", "rendered", "save",
    "matching_loss_curves", "matching_loss_at", "matching_loss_contours", "matching_loss_surface",
    "target_objective", "training_curves", "against_default", "image_grid", "reconstructions",
    "update_against_gradient", "preconditioned_step", "inner_step_filters", "local_loss_falling",
    "saturated_unit", "half_dead_unit", "learned_functions", "library_comparison",
    "patches_as_rows", "table_turned_round", "gram_of_patches",
    "filters_of_network", "filters_of_a_step", "gradient_through_time",
    "secant_slopes", "tangent_errors", "kronecker_fisher", "two_sided_filters", "bregman_duality",
    "target_displacements", "learning_by_step", "codes_moving", "errors_arriving", "perceptron_and_winnow",
    "show", "source", "source_of", "interact",
]  # fmt: skip


def figures(out_dir: str | os.PathLike[str], *, overwrite: bool = False) -> list[Path]:
    """Draw the matching losses of tanh and ReLU into a folder, as SVG and PNG, and return the paths.

    Raises:
        FileExistsError: one of the files exists, and `overwrite` is False; nothing is drawn then.
        OSError: the folder cannot be written.
    """
    kinds: dict[str, Callable[[str], Any]] = {
        "": matching_loss_curves, "-contours": matching_loss_contours, "-surface": matching_loss_surface
    }  # fmt: skip
    folder = user_path(out_dir, "out")
    stems = {f"matching-loss-{name}{kind}": (kind, name) for name in ("tanh", "relu") for kind in kinds}
    files = {stem: [folder / f"{stem}.{end}" for end in ("svg", "png")] for stem in stems}
    named = {f"out/{path.name}": path for paths in files.values() for path in paths}
    check_outputs(named, overwrite=overwrite)
    for stem, (kind, name) in stems.items():
        figure = kinds[kind](name)
        for path in files[stem]:
            save(figure, path)
    return list(named.values())
