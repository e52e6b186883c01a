r"""Tuning: the hyper-parameters of every method, searched in the same way, on held-out training images.

    ranges     a searched option with its range
    space      what is searched for each method
    wide       the wide space: K, the local optimizer, its state and η of LocoProp too
    problem    part of the training images to train on, another part to select by; never the test set
    objective  one trial: train, report the held-out loss after every epoch
    budget     a trial's seconds, and the loss that it should reach in them
    timed      one trial with a budget: as many epochs as its share of the seconds allows
    target     the budget of a problem: RMSProp's loss there, and a multiple of its seconds
    storage    the database of the studies, opened by its URL
    study      the trials of one method, in that database after every step
    trials     processes that share the studies
    workers    those processes, started, watched, and shown to the user
    final      the best settings at several rates, and the untuned ones, tried on the whole network
    finals     the runs of finals, as processes of `train`
    timed_finals  the finals of studies with a budget: the best by loss, and the best by seconds
    frontier   what such a study found, with its Pareto front
    hours      how long all of it will take
    result     the best settings with their provenance, as JSON
    tuning     `tune`: all of it

Every method gets the same number of trials: the package's own defaults first (with the exceptions that
`space` names for FOOF, Shampoo and K-FAC), then random ones, then those that a tree-structured Parzen
estimator proposes. Of the trials that reach eight epochs the best quarter goes on, the others are pruned.
Then, where the problem is a reduced one, every method has the same final. In the narrow space LocoProp's K
and, by K steps, its η stay the authors' (10 and infinity), as do the other options that `space` does not
name.

With a budget a study has two objectives, the loss and the seconds to a target loss, and another end: see
`budget`. Needs Optuna: locoprop-ref[tune].
"""

from locoprop_ref.experiments.tune.problem import PROBLEMS, Problem, reduced_problem, whole_problem
from locoprop_ref.experiments.tune.space import SPACE, Range, search_space
from locoprop_ref.experiments.tune.tuning import tune

__all__ = [
    "PROBLEMS", "SPACE", "Problem", "Range", "reduced_problem", "search_space", "tune",
    "whole_problem",
]  # fmt: skip
