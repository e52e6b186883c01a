r"""Training: epochs over a data set, losses on all of it, a run file, and a checkpoint to resume from.

    rng = default_rng(seed): the weights, layer by layer, then one permutation an epoch, from one generator
    each epoch: batches of the permutation, the remainder dropped; then losses on the full train and test set

After every epoch the checkpoint and then the run file are replaced, each in one step. A run that is killed at
any moment therefore keeps its last complete epoch, and resumes to the same bits.
"""

from locoprop_ref.training.loop import TrainedRun, describe
from locoprop_ref.training.run import train
from locoprop_ref.training.steps import DIVERGENCE, diverged
from locoprop_ref.training.task import Examples, evaluate, examples

__all__ = ["DIVERGENCE", "Examples", "TrainedRun", "describe", "diverged", "evaluate", "examples", "train"]
