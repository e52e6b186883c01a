r"""One experiment: every choice a named field, with its default and where that comes from.

`Config` holds what was asked for; a field that is None takes the default of its preset, data set, method or
optimizer. `resolve` fills them in, refuses options that mean nothing for the method, and returns a Config
that says everything. The command line is made from the same table.

>>> resolve(preset="paper").layers
'784-1000-500-250-30-250-500-1000-784'
>>> resolve(method="backprop", num_local_steps=3)
Traceback (most recent call last):
    ...
ValueError: num_local_steps has no meaning for method backprop
"""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from math import inf
from typing import Any

from locoprop_ref import check
from locoprop_ref.backend import BACKENDS
from locoprop_ref.data import NAMES
from locoprop_ref.local import REDUCTIONS
from locoprop_ref.method import METHODS, TARGET_ORDERS, BackProp, LocoProp, Method
from locoprop_ref.network import INITIALIZERS, Network, initialize
from locoprop_ref.optimizer import DIALECTS, OPTIMIZERS, Optimizer, optimizer
from locoprop_ref.output_loss import OUTPUT_LOSSES
from locoprop_ref.solve import FORMS, LOCAL_DECAYS, ClosedForm, Descend, Newton
from locoprop_ref.transfer import TRANSFERS

TASKS = ("autoencode", "classify")
SCHEDULES = ("authors", "constant")


def _option(default: Any, help: str, kind: type = str, choices: tuple[str, ...] | None = None) -> Any:
    return field(default=default, metadata={"help": help, "kind": kind, "choices": choices})


@dataclass(frozen=True)
class Config:
    """Settings of one training run; see the help of each field, or `locoprop-ref train --help`."""

    # what is learned
    method: str = _option("locoprop-m", "training method (default locoprop-m)", choices=METHODS)
    data: Any = _option(None, "curves, mnist, fashion_mnist or your own FILE.npz (default curves)")
    task: str = _option("autoencode", "autoencode (default), or classify the labels", choices=TASKS)
    layers: Any = _option(
        None, "widths from input to output, 784-400-784 (default: the data set's classic network)"
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
        "rate over the epochs: authors (default; rises over the first 5 %%, then falls to 0) or constant",
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
        None, "of backprop (default 3e-4 for rmsprop; a first guess for the others)", float
    )
    momentum: Any = _option(
        None,
        "of momentum, nesterov, rmsprop, and adam's beta1 (default rmsprop 0.999, the authors; else 0.9)",
        float,
    )
    decay: Any = _option(None, "of rmsprop's mean square (default 0.9, the authors); of adam beta2", float)
    epsilon: Any = _option(None, "of rmsprop (default 1e-5, the authors), adam, adagrad (torch)", float)
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
    # how it is computed
    seed: int = _option(0, "of weights and batches (default 0)", int)
    backend: str = _option("numpy", "array library (default numpy)", choices=tuple(BACKENDS))
    dtype: str = _option("float32", "float32 (default) or float64", choices=check.FLOATS)
    diagnostics: bool = _option(
        False, "record out-of-range targets, local losses and update angles, once an epoch (default no)", bool
    )


_PAPER_LAYERS = "784-1000-500-250-30-250-500-1000-784"
_CURVES_LAYERS = "784-400-200-100-50-25-6-25-50-100-200-400-784"

PRESETS: dict[str, dict[str, Any]] = {
    # the authors' experiment: 99 epochs of a schedule of length 100
    "paper": {
        "data": "mnist",
        "layers": _PAPER_LAYERS,
        "epochs": 99,
        "schedule_epochs": 100,
        "batch_size": 1000,
    },
    # the classic second-order benchmark, on our own drawing
    "curves": {"data": "curves", "layers": _CURVES_LAYERS, "epochs": 50, "batch_size": 1000},
}
_LAYERS = {
    ("curves", "autoencode"): _CURVES_LAYERS,
    ("mnist", "autoencode"): _PAPER_LAYERS,
    ("fashion_mnist", "autoencode"): _PAPER_LAYERS,
    ("mnist", "classify"): "784-300-100-10",
    ("fashion_mnist", "classify"): "784-300-100-10",
}
# BackProp's rates: RMSProp's is the one of the known numbers, the others are first guesses
_LEARNING_RATES = {
    "sgd": 1e-2,
    "momentum": 1e-3,
    "nesterov": 1e-3,
    "adagrad": 1e-2,
    "rmsprop": 3e-4,
    "adam": 1e-3,
}

_LOCOPROP = tuple(name for name in METHODS if name != "backprop")
_BY_STEPS = ("locoprop-s", "locoprop-m")
APPLIES: dict[str, tuple[str, ...]] = {
    "learning_rate": ("backprop",),
    "form": ("locoprop-s-closed",),
    **dict.fromkeys(("optimizer", "dialect", "momentum", "decay", "epsilon"), ("backprop", *_BY_STEPS)),
    **dict.fromkeys(("initial_accumulator",), ("backprop", *_BY_STEPS)),
    **dict.fromkeys(("local_lr", "num_local_steps", "local_decay", "local_state"), _BY_STEPS),
    **dict.fromkeys(("target_step", "weight_step", "local_reduction"), _LOCOPROP),
    **dict.fromkeys(("target_order", "project_targets", "diagnostics"), _LOCOPROP),
}
# our option → the optimizer's own argument
_HYPER: dict[str, dict[str, str]] = {
    "sgd": {},
    "momentum": {"momentum": "momentum"},
    "nesterov": {"momentum": "momentum"},
    "adagrad": {"dialect": "dialect", "epsilon": "epsilon", "initial_accumulator": "initial_accumulator"},
    "rmsprop": {"dialect": "dialect", "momentum": "momentum", "decay": "decay", "epsilon": "epsilon"},
    "adam": {"dialect": "dialect", "momentum": "beta1", "decay": "beta2", "epsilon": "epsilon"},
}
_HYPER_OPTIONS = ("dialect", "momentum", "decay", "epsilon", "initial_accumulator")


def resolve(preset: str | None = None, **explicit: Any) -> Config:
    """Return the Config of a preset with explicit choices over it, every field that has a meaning filled in.

    Args:
        preset: one of `PRESETS`, or None.
        **explicit: fields of `Config`; None counts as not given.

    Raises:
        ValueError, TypeError: unknown names (the nearest is suggested), values out of range, or an option
            that means nothing for the method or optimizer.
    """
    if preset is not None:
        check.one_of("preset", preset, PRESETS)
    known = [f.name for f in fields(Config)]
    for name in explicit:
        check.one_of("option", name, known)
    explicit = {name: value for name, value in explicit.items() if value is not None}
    config = Config(**({**PRESETS[preset], **explicit} if preset else explicit))
    for f in fields(Config):
        if f.metadata["choices"] and getattr(config, f.name) is not None:
            check.one_of(f.name, getattr(config, f.name), f.metadata["choices"])
    for name, methods in APPLIES.items():
        if name in explicit and config.method not in methods:
            raise ValueError(f"{name} has no meaning for method {config.method}")
    config = _with_common_defaults(config)
    config = replace(config, **_method_defaults(config))
    _check_numbers(config)
    _check_together(config, explicit)
    build_method(config)
    return config


def _with_common_defaults(config: Config) -> Config:
    data = "curves" if config.data is None else config.data
    if not isinstance(data, str | os.PathLike):
        raise TypeError(f"data must be a name or a path, got {data!r}")
    data = os.fspath(data)
    if not data.lower().endswith(".npz"):
        check.one_of("data", data, (*NAMES, "a path ending in .npz"))
    epochs = 10 if config.epochs is None else config.epochs
    classify = config.task == "classify"
    if classify and data == "curves":
        raise ValueError("data must have labels for task classify, got 'curves', which has none")
    filled: dict[str, Any] = {
        "data": data,
        "layers": _LAYERS.get((data, config.task)) if config.layers is None else config.layers,
        "output_loss": config.output_loss
        or ("softmax_cross_entropy" if classify else "sigmoid_cross_entropy"),
        "epochs": epochs,
        "schedule_epochs": _schedule_epochs(config, epochs),
        "batch_size": 1000 if config.batch_size is None else config.batch_size,
    }
    if filled["layers"] is None:
        raise ValueError(f"layers must be given for data {data!r} (for example 784-100-784), got none")
    return replace(config, **filled)


def _schedule_epochs(config: Config, epochs: int) -> int | None:
    if config.schedule == "constant":
        return None
    # one more than the epochs, so that the last of them still has a rate: the authors' 99 of 100
    return epochs + 1 if config.schedule_epochs is None else config.schedule_epochs


def _method_defaults(config: Config) -> dict[str, Any]:
    """Return the fields that a method leaves open, filled in; those without a meaning stay None."""
    method = config.method
    defaults: dict[str, Any] = {}
    if method in APPLIES["optimizer"]:
        defaults["optimizer"] = config.optimizer or "rmsprop"
        defaults |= _optimizer_defaults(config, defaults["optimizer"])
    if method == "backprop":
        defaults["learning_rate"] = _LEARNING_RATES[defaults["optimizer"]]
    if method in _BY_STEPS:
        defaults |= {"local_lr": 1e-5, "num_local_steps": 10, "local_decay": "authors", "local_state": "keep"}
    if method in _LOCOPROP:
        defaults |= {"local_reduction": "sum", "target_order": "jacobi", "project_targets": False}
        defaults["target_step"] = 100.0 if method == "locoprop-s-closed" else 10.0
        defaults["weight_step"] = inf if method in _BY_STEPS else 0.1
    if method == "locoprop-s-closed":
        defaults["form"] = "auto"
    given = asdict(config)
    return {name: value if given[name] is None else given[name] for name, value in defaults.items()}


def _optimizer_defaults(config: Config, name: str) -> dict[str, Any]:
    for option in _HYPER_OPTIONS:
        if getattr(config, option) is not None and option not in _HYPER[name]:
            raise ValueError(f"{option} has no meaning for optimizer {name}")
    rule = optimizer(name)
    defaults: dict[str, Any] = {option: getattr(rule, argument) for option, argument in _HYPER[name].items()}
    if name == "rmsprop":
        defaults["momentum"] = 0.9 if config.method == "backprop" else 0.999
    return defaults


def _check_numbers(config: Config) -> None:
    check.integer("epochs", config.epochs, minimum=0)
    check.integer("batch_size", config.batch_size)
    check.integer("seed", config.seed, minimum=0)
    layer_sizes(config)
    layer_transfers(config)
    if config.schedule == "authors":
        check.integer("schedule_epochs", config.schedule_epochs, minimum=0)
        if config.schedule_epochs < config.epochs:
            raise ValueError(
                f"schedule_epochs must be at least epochs, {config.epochs}, got {config.schedule_epochs} "
                "(the rate is 0 from there on)"
            )


def _check_together(config: Config, explicit: Mapping[str, Any]) -> None:
    """Refuse options that have no meaning beside others, or contradict them, before anything is written."""
    if "code_transfer" in explicit and config.task != "autoencode":
        raise ValueError(f"code_transfer has no meaning for task {config.task}")
    if "code_transfer" in explicit and ("," in config.transfer or len(layer_sizes(config)) == 2):
        raise ValueError("code_transfer has no meaning without hidden layers that share one transfer")
    if "schedule_epochs" in explicit and config.schedule == "constant":
        raise ValueError("schedule_epochs has no meaning for schedule constant")
    if "epsilon" in explicit and (config.optimizer, config.dialect) == ("adagrad", "tf1"):
        raise ValueError("epsilon has no meaning for adagrad in dialect tf1")
    if config.form == "inverse" and config.weight_step == inf:
        raise ValueError("weight_step must be finite for form 'inverse', got inf")
    if config.method == "locoprop-m-exact" and "softmax" in layer_transfers(config):
        raise ValueError("transfer must be elementwise for method locoprop-m-exact, got a softmax layer")


def layer_sizes(config: Config) -> tuple[int, ...]:
    """Return the widths d_0, ..., d_M of `config.layers`.

    Raises:
        ValueError: not at least two positive integers joined by hyphens.
    """
    parts = str(config.layers).split("-")
    if len(parts) < 2 or not all(part.isascii() and part.isdigit() and int(part) > 0 for part in parts):
        raise ValueError(f"layers must be widths joined by hyphens (784-100-784), got {config.layers!r}")
    return tuple(int(part) for part in parts)


def layer_transfers(config: Config) -> tuple[str, ...]:
    """Return the transfer function of every layer, by name.

    The last one follows from the network loss; an autoencoder's narrowest hidden layer takes `code_transfer`.

    Raises:
        ValueError: an unknown name, or as many names as there are neither one nor layers.
    """
    sizes, names = layer_sizes(config), config.transfer.split(",")
    for name in names:
        check.one_of("transfer", name, TRANSFERS)
    if len(names) == len(sizes) - 1 and len(names) > 1:
        return tuple(names)
    if len(names) > 1:
        raise ValueError(
            f"transfer must be one name, or one for each of {len(sizes) - 1} layers, got {len(names)}"
        )
    last = {"sigmoid_cross_entropy": "sigmoid", "softmax_cross_entropy": "softmax"}
    hidden = names * (len(sizes) - 2)
    if config.task == "autoencode" and hidden:
        hidden[min(range(len(hidden)), key=lambda m: sizes[m + 1])] = config.code_transfer
    return (*hidden, last.get(str(config.output_loss), "identity"))


def build_network(config: Config, seed: Any, *, xp: Any) -> Network:
    """Draw the network of a resolved Config; `seed` may be a Generator."""
    return initialize(
        layer_sizes(config),
        transfers=layer_transfers(config),
        output_loss=config.output_loss,
        bias=config.bias,
        init=config.init,
        seed=seed,
        dtype=config.dtype,
        xp=xp,
    )


def build_method(config: Config) -> Method:
    """Return the method of a resolved Config."""
    if config.method == "backprop":
        return BackProp(_build_optimizer(config), config.learning_rate)
    solver: Any = Newton()
    if config.method in _BY_STEPS:
        solver = Descend(
            _build_optimizer(config),
            config.local_lr,
            config.num_local_steps,
            config.local_decay,
            config.local_state,
        )
    elif config.method == "locoprop-s-closed":
        solver = ClosedForm(config.form)
    return LocoProp(
        local_loss="matching" if config.method.startswith("locoprop-m") else "squared",
        solver=solver,
        target_step=config.target_step,
        weight_step=config.weight_step,
        local_reduction=config.local_reduction,
        target_order=config.target_order,
        project_targets=config.project_targets,
    )


def _build_optimizer(config: Config) -> Optimizer:
    hyper = {argument: getattr(config, option) for option, argument in _HYPER[config.optimizer].items()}
    return optimizer(config.optimizer, **hyper)


def epoch_rate(config: Config, epoch: int) -> float:
    r"""Return the schedule's factor r of epoch e = 0, 1, ...: e/w for e < w, else 1 − (e + 1 − w)/(T − w).

    T is `schedule_epochs` and w = 5 % of it, rounded down: with T = 100 the authors' schedule. It multiplies
    the optimizer's rate (for closed and exact solvers η), never γ. In an epoch of rate 0 no weight moves, but
    running averages do. With schedule "constant" it is 1.

    >>> [epoch_rate(resolve(preset="paper"), e) for e in (0, 1, 5, 98)]
    [0.0, 0.2, 0.9894736842105263, 0.010526315789473717]
    """
    if config.schedule == "constant":
        return 1.0
    total = config.schedule_epochs
    warm_up = total // 20
    return epoch / warm_up if epoch < warm_up else 1 - (epoch + 1 - warm_up) / (total - warm_up)


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
        check.one_of("config field", name, known)
    fixed: dict[str, Any] = {name: inf if value == "inf" else value for name, value in values.items()}
    return Config(**fixed)
