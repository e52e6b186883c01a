"""The table of all options: default, meaning and source of each, for Python and the command line."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from math import inf
from typing import Any

from locoprop_ref import checks
from locoprop_ref.backend import BACKENDS
from locoprop_ref.local import REDUCTIONS
from locoprop_ref.losses import OUTPUT_LOSSES
from locoprop_ref.methods.kfac import FISHERS
from locoprop_ref.methods.locoprop import TARGET_ORDERS
from locoprop_ref.methods.registry import METHODS
from locoprop_ref.methods.shampoo import GRAFTINGS, STATISTICS
from locoprop_ref.network import INITIALIZERS
from locoprop_ref.optimizers import DIALECTS, OPTIMIZERS
from locoprop_ref.solvers import FORMS, LOCAL_DECAYS
from locoprop_ref.transfers import TRANSFERS

TASKS = ("autoencode", "classify")
SCHEDULES = ("authors", "constant")


def _option(default: Any, help: str, kind: type = str, choices: tuple[str, ...] | None = None) -> Any:
    return field(default=default, metadata={"help": help, "kind": kind, "choices": choices})


@dataclass(frozen=True)
class Config:
    """Settings of one training run; see the help of each field, or `locoprop-ref train --help`."""

    # what is learned
    method: str = _option("locoprop-m", "training method (default locoprop-m)", choices=METHODS)
    data: Any = _option(
        None,
        "curves (default), mnist, fashion_mnist, or your own FILE.npz (x_train, x_test; see README)",
    )
    task: str = _option("autoencode", "autoencode (default), or classify the labels", choices=TASKS)
    layers: Any = _option(
        None, "widths from input to output, 784-400-784 (default: the data set's classic network)"
    )
    width: float = _option(1.0, "times every hidden layer, the code included (default 1)", float)
    depth: int = _option(
        1,
        "times each hidden layer as wide as the second, in the paper's network the 500s (default 1)",
        int,
    )
    transfer: str = _option(
        "tanh",
        "of the hidden layers (default tanh, the authors), or one for every layer: tanh,relu,sigmoid",
    )
    code_transfer: str = _option(
        "identity",
        "that of an autoencoder's narrowest layer (default identity, the authors)",
        choices=TRANSFERS,
    )
    output_loss: Any = _option(
        None,
        "network loss (default sigmoid_cross_entropy, to classify softmax_cross_entropy)",
        choices=OUTPUT_LOSSES,
    )
    bias: bool = _option(True, "layers have a bias (default yes)", bool)
    init: str = _option(
        "glorot_uniform",
        "initial weights (default glorot_uniform, bias included: Keras, the authors)",
        choices=INITIALIZERS,
    )
    # for how long
    epochs: Any = _option(None, "epochs to train (default 10; preset paper 99)", int)
    schedule: str = _option(
        "authors",
        "rate over the epochs: authors (default; from 0 up over the first 5 %%, then down to 0) or constant",
        choices=SCHEDULES,
    )
    schedule_epochs: Any = _option(
        None, "length of the schedule (default: epochs + 1, as the authors' 99 of 100)", int
    )
    batch_size: Any = _option(
        None, "examples a batch; the remainder of an epoch is dropped (default 1000, the authors)", int
    )
    # first-order rule: LocoProp's local one, BackProp's own
    optimizer: Any = _option(
        None,
        "local optimizer of LocoProp's K steps, the network's for backprop (default rmsprop, the authors)",
        choices=OPTIMIZERS,
    )
    dialect: Any = _option(
        None, "formula of adagrad, rmsprop, adam: tf1 (default, the authors) or torch", choices=DIALECTS
    )
    learning_rate: Any = _option(
        None, "of backprop, kfac, foof, shampoo (default 3e-4 for rmsprop; else a first guess)", float
    )
    momentum: Any = _option(
        None,
        "of momentum, nesterov, rmsprop, kfac, foof, shampoo, and adam's beta1 "
        "(default: LocoProp's rmsprop 0.999, the authors; foof 0; else 0.9)",
        float,
    )
    decay: Any = _option(None, "of rmsprop's mean square (default 0.9, the authors); of adam beta2", float)
    epsilon: Any = _option(
        None, "of rmsprop (default 1e-5, the authors), adam, adagrad (torch), shampoo's ridge", float
    )
    initial_accumulator: Any = _option(None, "of adagrad (default tf1 0.1, torch 0; the authors 1e-5)", float)
    # LocoProp
    local_lr: Any = _option(None, "size s of the local steps (default 1e-5, the authors)", float)
    num_local_steps: Any = _option(None, "number K of local steps (default 10, the authors)", int)
    local_decay: Any = _option(
        None,
        "local rate within a batch: authors (default), s*max(1 - k/K, 0.25), or constant",
        choices=LOCAL_DECAYS,
    )
    local_state: Any = _option(
        None,
        "local optimizer's state from batch to batch: keep (default, the authors) or reset",
        choices=("keep", "reset"),
    )
    target_step: Any = _option(
        None, "step gamma of the targets (default 10, the authors; closed form 100)", float
    )
    weight_step: Any = _option(
        None,
        "proximal step eta times the rate, or inf (default inf, the authors; closed, exact 0.1)",
        float,
    )
    local_reduction: Any = _option(
        None, "local gradient: sum over the batch (default, the authors) or mean", choices=REDUCTIONS
    )
    target_order: Any = _option(
        None,
        "jacobi (default, the method): targets before any weight moves; or gauss-seidel",
        choices=TARGET_ORDERS,
    )
    project_targets: Any = _option(
        None, "project targets onto the range of the transfer function (default no, the authors)", bool
    )
    form: Any = _option(None, "closed form: auto (default, by shape), primal, dual or inverse", choices=FORMS)
    # second-order methods
    damping: Any = _option(
        None, "lambda of kfac and foof, added to the curvature (default 0.01, a first guess)", float
    )
    fisher: Any = _option(
        None, "Fisher matrix of kfac: sampled (default, its paper) or empirical", choices=FISHERS
    )
    kl_clip: Any = _option(
        None, "bound of kfac's step in the metric of the Fisher matrix (default inf: none)", float
    )
    factor_decay: Any = _option(
        None,
        "of the running averages of kfac, foof (default 0.95, K-FAC's paper), shampoo (default 0.99)",
        float,
    )
    factor_interval: Any = _option(
        None, "steps from one statistic of kfac, foof, shampoo to the next (default 1)", int
    )
    inverse_interval: Any = _option(
        None,
        "steps from one inverse (default kfac 20, its paper; foof 1) or root (shampoo 20) to the next",
        int,
    )
    statistics: Any = _option(None, "of shampoo: sum (default, the paper) or average", choices=STATISTICS)
    root: Any = _option(None, "of shampoo: the p of its inverse p-th roots (default 4, the paper)", int)
    grafting: Any = _option(
        None,
        "of shampoo: whose length its update takes: none (default, the paper), sgd or rmsprop",
        choices=GRAFTINGS,
    )
    grafting_decay: Any = _option(None, "of the rmsprop that lends shampoo its length (default 0.9)", float)
    grafting_epsilon: Any = _option(None, "of the same rmsprop (default 1e-5)", float)
    # how it is computed
    seed: int = _option(0, "of weights and batches (default 0)", int)
    backend: str = _option("numpy", "array library (default numpy)", choices=tuple(BACKENDS))
    dtype: str = _option("float32", "float32 (default) or float64", choices=checks.FLOATS)
    diagnostics: bool = _option(
        False, "record out-of-range targets, local losses and update angles, once an epoch (default no)", bool
    )


def as_json(config: Config) -> dict[str, Any]:
    """Return a Config as JSON values: infinity is spelled "inf", fields without a meaning are left out."""
    values = {name: value for name, value in asdict(config).items() if value is not None}
    return {name: "inf" if value == inf else value for name, value in values.items()}


def from_json(values: Mapping[str, Any]) -> Config:
    """Return the Config that `as_json` wrote.

    Raises:
        ValueError: an unknown field.
    """
    known = [f.name for f in fields(Config)]
    for name in values:
        checks.one_of("config field", name, known)
    fixed: dict[str, Any] = {name: inf if value == "inf" else value for name, value in values.items()}
    return Config(**fixed)
