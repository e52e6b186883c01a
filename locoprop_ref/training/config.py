"""Presets, defaults, and what goes with what."""

import os
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from functools import partial
from math import inf
from typing import Any

from locoprop_ref import checks
from locoprop_ref.data import ARRAYS, NAMES, data_path
from locoprop_ref.methods.locoprop import LocoProp
from locoprop_ref.methods.options import HYPER, HYPER_OPTIONS, default_optimizer, methods_with, options_of
from locoprop_ref.methods.registry import METHODS, OFFLINE, method
from locoprop_ref.training.build import build_method, check_fits, layer_plans, layer_sizes, layer_transfers
from locoprop_ref.training.options import Config
from locoprop_ref.training.step_evaluations import parse_steps
from locoprop_ref.transfers import DISCONTINUOUS

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
# task → the network loss unless another is given
_LOSSES = {"classify": "softmax_cross_entropy", "regress": "squared_error"}
# method → the other options that stand there for it unless they are given
_USUAL: dict[Any, dict[str, Any]] = {"ste": {"transfer": "sign"}}
# option → the methods for which it means something
APPLIES: dict[str, tuple[str, ...]] = {
    option: methods_with(option)
    for option in dict.fromkeys((*HYPER_OPTIONS, *(o for name in METHODS for o in options_of(name))))
} | {
    "diagnostics": tuple(name for name in METHODS if isinstance(method(name), LocoProp)),
    "batch_size": tuple(name for name in METHODS if name not in OFFLINE),
}


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
        checks.one_of("preset", preset, PRESETS)
    known = [f.name for f in fields(Config)]
    for name in explicit:
        checks.one_of("option", name, known)
    explicit = {name: value for name, value in explicit.items() if value is not None}
    chosen = {**PRESETS[preset], **explicit} if preset else explicit
    config = _plain(Config(**(_USUAL.get(explicit.get("method"), {}) | chosen)))
    for f in fields(Config):
        if f.metadata["choices"] and getattr(config, f.name) is not None:
            checks.one_of(f.name, getattr(config, f.name), f.metadata["choices"])
    for name, methods in APPLIES.items():
        if name in explicit and config.method not in methods:
            raise ValueError(f"{name} has no meaning for method {config.method}")
    if config.method in OFFLINE:
        config = _for_all_examples(config, explicit)
    config = _with_common_defaults(config)
    config = replace(config, **_method_defaults(config))
    _check_numbers(config)
    _check_together(config, explicit)
    build_method(config)
    check_fits(config)
    return config


def _for_all_examples(config: Config, explicit: Mapping[str, Any]) -> Config:
    """Return the Config of a method that sees all examples: no batches, no schedule; for ADMM ReLU layers."""
    if explicit.get("schedule", "constant") != "constant":
        raise ValueError(f"schedule must be constant for method {config.method}, got {config.schedule!r}")
    chosen: dict[str, Any] = {"batch_size": None, "schedule": "constant"}
    if config.method == "admm":
        # code_transfer has a meaning for an autoencoder alone
        names = ("transfer", "code_transfer") if config.task == "autoencode" else ("transfer",)
        chosen |= {name: "relu" for name in names if name not in explicit}
    return replace(config, **chosen)


def _plain(config: Config) -> Config:
    """Return a Config of plain Python numbers and switches: what NumPy gives in a sweep is converted."""
    kinds: dict[type, Any] = {
        bool: checks.boolean, int: partial(checks.integer, minimum=None, maximum=None), float: checks.number
    }  # fmt: skip
    for name in ("transfer", "code_transfer"):
        wanted = "a name, or names with commas between them"
        checks.instance(name, getattr(config, name), str, wanted)
    given = {f.name: (f.metadata["kind"], getattr(config, f.name)) for f in fields(Config)}
    return replace(
        config,
        **{
            name: kinds[kind](name, value)
            for name, (kind, value) in given.items()
            if value is not None and kind in kinds
        },
    )


def _with_common_defaults(config: Config) -> Config:
    data = "curves" if config.data is None else config.data
    if not isinstance(data, str | os.PathLike):
        raise TypeError(f"data must be a name or a path, got {checks.shown(data)}")
    data = data_path(data)
    if not data.lower().endswith(".npz"):
        checks.one_of("data", data, (*NAMES, ARRAYS, "a path ending in .npz"))
    epochs = 10 if config.epochs is None else config.epochs
    if config.task == "classify" and data == "curves":
        raise ValueError("data must have labels for task classify, got 'curves', which has none")
    if config.task == "regress" and data in NAMES:
        raise ValueError(f"data must have y_train and y_test for task regress, got {data!r}, which has none")
    filled: dict[str, Any] = {
        "data": data,
        "layers": _LAYERS.get((data, config.task)) if config.layers is None else config.layers,
        "output_loss": _LOSSES.get(config.task, "sigmoid_cross_entropy")
        if config.output_loss is None
        else config.output_loss,
        "epochs": epochs,
        "schedule_epochs": _schedule_epochs(config, epochs),
    }
    if config.method not in OFFLINE:
        filled["batch_size"] = 1000 if config.batch_size is None else config.batch_size
    if filled["layers"] is not None:
        checks.instance("layers", filled["layers"], str, "widths or words, such as 784-100-784")
    else:
        raise ValueError(f"layers must be given for data {data!r} (for example 784-100-784), got none")
    return replace(config, **filled)


def _schedule_epochs(config: Config, epochs: int) -> int | None:
    if config.schedule == "constant":
        return None
    # one more than the epochs, so that the last of them still has a rate: the authors' 99 of 100
    return epochs + 1 if config.schedule_epochs is None else config.schedule_epochs


def _method_defaults(config: Config) -> dict[str, Any]:
    """Return the fields that a method leaves open, filled in; those without a meaning stay None."""
    name = config.optimizer or default_optimizer(config.method)
    if name is not None:
        for option in HYPER_OPTIONS:
            if getattr(config, option) is not None and option not in HYPER[name]:
                raise ValueError(f"{option} has no meaning for optimizer {name}")
    given = asdict(config)
    defaults = options_of(config.method, config.optimizer)
    return {name: value if given[name] is None else given[name] for name, value in defaults.items()}


def _check_numbers(config: Config) -> None:
    checks.integer("epochs", config.epochs, minimum=0)
    if config.method not in OFFLINE:
        checks.integer("batch_size", config.batch_size)
    checks.integer("seed", config.seed, minimum=0, maximum=None)
    for name in ("momentum", "decay"):  # which Adam calls beta1 and beta2
        if getattr(config, name) is not None:
            checks.fraction(name, getattr(config, name))
    parse_steps(config.evaluate_steps)
    layers = len(layer_transfers(config))
    if checks.integer("frozen_layers", config.frozen_layers or 0, minimum=0) >= layers:
        wanted = f"below {layers}, the number of layers, so that one of them moves"
        raise ValueError(f"frozen_layers must be {wanted}, got {config.frozen_layers}")
    if config.schedule == "authors":
        checks.integer("schedule_epochs", config.schedule_epochs, minimum=0)
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
    if "transfer" in explicit and _all_from_code_transfer(config):
        raise ValueError(
            "transfer has no meaning where the code is the only hidden layer (see code_transfer)"
        )
    if "schedule_epochs" in explicit and config.schedule == "constant":
        raise ValueError("schedule_epochs has no meaning for schedule constant")
    if config.method == "shampoo":
        _check_shampoo(config, explicit)
    if "epsilon" in explicit and (config.optimizer, config.dialect) == ("adagrad", "tf1"):
        raise ValueError("epsilon has no meaning for adagrad in dialect tf1")
    if config.form == "inverse" and config.weight_step == inf:
        raise ValueError("weight_step must be finite for form 'inverse', got inf")
    if config.method == "locoprop-m-exact" and "softmax" in layer_transfers(config):
        raise ValueError("transfer must be elementwise for method locoprop-m-exact, got a softmax layer")
    if "last_target_step" in explicit and config.last_layer != "gradient":
        raise ValueError(f"last_target_step has no meaning for last_layer {config.last_layer}")
    if config.method == "am-mem":
        _check_last_layer(config)
    _check_sign(config)
    if config.method == "admm":
        _check_admm(config)


def _all_from_code_transfer(config: Config) -> bool:
    """Tell whether an autoencoder's one hidden layer is its code, which has a transfer of its own."""
    return config.task == "autoencode" and "," not in config.transfer and len(layer_sizes(config)) == 3


def _check_last_layer(config: Config) -> None:
    """Refuse a last layer whose own loss is not the squared one, which is all that a memory takes."""
    last = layer_transfers(config)[-1]
    if config.last_layer != "gradient" and last != "identity":
        raise ValueError(
            f"last_layer must be gradient for method am-mem with the last transfer {last}, "
            f"got {config.last_layer!r}"
        )


def _check_sign(config: Config) -> None:
    with_sign = set(DISCONTINUOUS) & set(layer_transfers(config))
    if config.method == "locoprop-m-exact" and with_sign:
        raise ValueError("transfer must be continuous for method locoprop-m-exact, got a sign layer")
    if config.method == "ste" and config.transfer in DISCONTINUOUS and not with_sign:
        raise ValueError(f"layers must have a hidden layer with sign for method ste, got {config.layers!r}")
    if config.method == "ste" and not with_sign:
        raise ValueError(
            f"transfer must be sign in at least one layer for method ste, got {config.transfer!r} "
            "(without one it is backprop)"
        )


def _check_admm(config: Config) -> None:
    """Refuse what ADMM's blocks do not know: other hidden layers than dense ones with ReLU."""
    for name in layer_transfers(config)[:-1]:
        if name != "relu":
            raise ValueError(f"transfer must be relu in hidden layers for method admm, got {name!r}")
    if any(plan.wiring is not None for plan in layer_plans(config)):
        raise ValueError(f"layers must be dense for method admm, got {config.layers!r}")


def _check_shampoo(config: Config, explicit: Mapping[str, Any]) -> None:
    if "factor_decay" in explicit and config.statistics != "average":
        raise ValueError(f"factor_decay has no meaning for shampoo with statistics {config.statistics}")
    for option in ("grafting_decay", "grafting_epsilon"):
        if option in explicit and config.grafting != "rmsprop":
            raise ValueError(f"{option} has no meaning for shampoo with grafting {config.grafting}")
