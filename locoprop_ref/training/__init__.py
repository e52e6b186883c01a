r"""Training: epochs over a data set, losses on all of it, a run file and a checkpoint that survive.

    rng = default_rng(seed): the weights, layer by layer, then one permutation an epoch, from one generator
    each epoch: batches of the permutation, the remainder dropped; then losses on the full train and test set

After every epoch the checkpoint and then the run file are replaced, each in one step, so that a run killed
at any moment leaves its last complete epoch behind and resumes to the same bits.
"""

import os
from collections.abc import Callable
from pathlib import Path

from locoprop_ref.backend import namespace
from locoprop_ref.data import load
from locoprop_ref.data.files import same_file
from locoprop_ref.solvers import newton_cost
from locoprop_ref.training.build import layer_sizes
from locoprop_ref.training.loop import DIVERGENCE, Loop, TrainedRun, describe
from locoprop_ref.training.options import Config
from locoprop_ref.training.start import Files, resumed_start, side_by_side_with, untrained_start
from locoprop_ref.training.task import Examples, evaluate, examples

__all__ = ["DIVERGENCE", "Examples", "TrainedRun", "describe", "evaluate", "examples", "train"]


def train(
    config: Config,
    *,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    data_dir: str | os.PathLike[str] | None = None,
    progress: bool = True,
    jobs: int | None = None,
    say: Callable[[str], None] = lambda sentence: None,
) -> TrainedRun:
    """Train a network as a Config says.

    Args:
        config: from `config.resolve`.
        out: the run file, a path ending in .json; the checkpoint stands beside it, ending in .npz. None keeps
            the result in memory alone.
        resume: go on from the checkpoint, if there is one.
        overwrite: replace an existing run file.
        data_dir: where the data set's files are, see `data.load`.
        progress: show a progress bar, where standard error is a terminal.
        jobs: how many runs go side by side on this machine, for the run file; 1 for a run that has it to
            itself, None where that is not known.
        say: called with every line for the user: what is about to start, a line an epoch.

    Returns:
        the run file's content, the network and the method's state after the last complete epoch. Its status
        is "diverged" when the train loss was no number or 100 times the untrained network's.

    Raises:
        ValueError, TypeError: settings that do not fit the data, or a checkpoint of another configuration
            (the differences are named).
        OSError: data that cannot be read, or files that cannot be written; FileExistsError where `out` exists
            and neither `resume` nor `overwrite` is given.
        KeyboardInterrupt: passed on, after the run file has been given the status "interrupted".
    """
    if resume and overwrite:
        raise ValueError("resume and overwrite contradict each other, got both")
    xp = namespace(config.backend)
    files = None if out is None else Files(Path(out))
    if files:
        _check_files(files, config, resume, overwrite)
    dataset = load(config.data, data_dir=data_dir)
    for note in dataset.notes:
        say(note)
    data = examples(dataset, config, xp)
    start = resumed_start(config, dataset, files, xp, say) if files and resume else None
    if start is None:
        start = untrained_start(config, dataset, data, xp)
    start = side_by_side_with(start, jobs)
    _announce_cost(config, data, say)
    loop = Loop(config, data, xp, files, progress, say)
    try:
        return loop.run(start)
    except KeyboardInterrupt:
        loop.stop("interrupted", f"interrupted after epoch {loop.last_epoch}")
        raise


def _check_files(files: Files, config: Config, resume: bool, overwrite: bool) -> None:
    """Refuse to write where something would be lost."""
    if same_file(files.checkpoint, config.data):
        raise ValueError(f"out must have another name than the data, got {files.run} beside {config.data}")
    existing = [file for file in (files.run, files.checkpoint) if file.exists()]
    if existing and not (resume or overwrite):
        raise FileExistsError(
            f"out must be a new file, got {existing[0]}, which exists (--resume or --overwrite)"
        )
    if existing == [files.run] and resume:
        raise FileNotFoundError(f"{files.checkpoint} must be there to resume {files.run}, got no such file")


def _announce_cost(config: Config, data: Examples, say: Callable[[str], None]) -> None:
    if config.method != "locoprop-m-exact":
        return
    flop = newton_cost(layer_sizes(config), config.batch_size, bias=config.bias)
    batches = data.x_train.shape[0] // config.batch_size
    say(
        f"locoprop-m-exact solves a regression for every unit: {flop / 1e9:.3g} Gflop a Newton step, several "
        f"steps a batch; with {batches} to an epoch, {flop * batches / 1e9:.3g} Gflop an epoch at one each"
    )
