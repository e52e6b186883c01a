"""The options of every method, read from its dataclasses: names, defaults and choices stand nowhere else.

An option is a flat name, as the command line and run files have it. Those of a LocoProp method are the
arguments of its parts: targets, regularizer, solver, and the solver's optimizer. An optimizer's
hyper-parameters have the same names inside LocoProp and for BackProp. Where the arguments of two parts would
have the same name, `NAMES` says what the options are called.

>>> options_of("locoprop-s-closed")["target_step"]
100.0
>>> options_of("backprop", "adam")["momentum"]
0.9
"""

import functools
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

from locoprop_ref import checks
from locoprop_ref.code_targets import CodeTargets
from locoprop_ref.feedback_targets import FeedbackTargets
from locoprop_ref.inverse_targets import InverseTargets
from locoprop_ref.memory import Memory
from locoprop_ref.methods.base import Method
from locoprop_ref.methods.locoprop import LocoProp
from locoprop_ref.methods.registry import METHODS, method, named_optimizer
from locoprop_ref.optimizers import OPTIMIZERS, Momentum, optimizer
from locoprop_ref.targets import GradientTargets

# option → the optimizer's own argument
HYPER: dict[str, dict[str, str]] = {
    "sgd": {},
    "momentum": {"momentum": "momentum"},
    "nesterov": {"momentum": "momentum"},
    "adagrad": {"dialect": "dialect", "epsilon": "epsilon", "initial_accumulator": "initial_accumulator"},
    "rmsprop": {"dialect": "dialect", "momentum": "momentum", "decay": "decay", "epsilon": "epsilon"},
    "adam": {"dialect": "dialect", "momentum": "beta1", "decay": "beta2", "epsilon": "epsilon"},
}
HYPER_OPTIONS = tuple(dict.fromkeys(option for hyper in HYPER.values() for option in hyper))

# argument → option, for the parts whose options have another name than their arguments
NAMES: dict[type, dict[str, str]] = {
    GradientTargets: {"step": "target_step"},
    CodeTargets: {
        "momentum": "code_momentum", "anchor": "code_anchor", "reduction": "code_reduction",
        "inputs": "code_inputs", "last_step": "last_target_step",
    },
    InverseTargets: {"step": "target_step", "start": "target_start", "noise": "inverse_noise"},
    FeedbackTargets: {"step": "target_step", "scale": "feedback_scale"},
    Memory: {"decay": "memory_decay"},
}  # fmt: skip

# how the layers are run and what is reported are no choices of a method, nor is what its name says
_NOT_OPTIONS = frozenset(
    """
    parallel_layers diagnose preconditioner clip local_loss targets regularizer solver optimizer
    gradient_form tolerance max_newton_steps memory_limit correction path
    """.split()
)
_OF_GRADIENT_TARGETS = frozenset("local_reduction target_order project_targets".split())

Place = tuple[tuple[str, ...], str]  # the way from the method to a part, and an argument of the part

# the method whose defaults are named first
_FIRST = "locoprop-m"


def options_of(name: str, optimizer_name: str | None = None) -> dict[str, Any]:
    """Return the options of a method with their defaults.

    Args:
        name: one of `METHODS`.
        optimizer_name: one of `OPTIMIZERS`, for a method that has one; default the method's own.

    Returns:
        option → default, among them "optimizer" where the method takes one, with the hyper-parameters of it.
    """
    if optimizer_name is not None:
        checks.one_of("optimizer_name", optimizer_name, HYPER)
    chosen = default_optimizer(name) if optimizer_name is None else optimizer_name
    example = _example(name, chosen)
    found = {option: getattr(_at(example, way), key) for option, (way, key) in places(name, chosen).items()}
    return found if default_optimizer(name) is None else {**found, "optimizer": chosen}


@functools.cache
def places(name: str, optimizer_name: str | None = None) -> Mapping[str, Place]:
    """Return where the options of a method belong: option → (the way to a part, its argument).

    Args:
        name: one of `METHODS`.
        optimizer_name: one of `OPTIMIZERS`, for a method that has one; default the method's own.

    >>> places("am")["code_momentum"], places("am")["momentum"]
    ((('targets',), 'momentum'), (('solver', 'optimizer'), 'beta1'))
    """
    chosen = default_optimizer(name) if optimizer_name is None else optimizer_name
    example, found = _example(name, chosen), dict[str, Place]()
    ways: tuple[tuple[str, ...], ...] = ((), ("solver",), ("targets",), ("regularizer",))
    for way in ways:
        part = _at(example, way)
        found |= {option: (way, argument) for argument, option in _arguments(part).items()}
    if chosen is not None and default_optimizer(name) is not None:
        way = ("solver", "optimizer") if isinstance(example, LocoProp) else ("optimizer",)
        found |= {option: (way, argument) for option, argument in HYPER[chosen].items()}
    return found


def _arguments(part: Any) -> dict[str, str]:
    """Return the arguments of a part that are options, and what these are called."""
    if not is_dataclass(part):
        return {}
    hidden, names = _NOT_OPTIONS, NAMES.get(type(part), {})
    if isinstance(part, LocoProp) and not isinstance(part.targets, GradientTargets):
        hidden = hidden | _OF_GRADIENT_TARGETS
    return {f.name: names.get(f.name, f.name) for f in fields(part) if f.name not in hidden}


def assembled(name: str, options: Mapping[str, Any]) -> Method:
    """Return a method with options by their flat names.

    Args:
        name: one of `METHODS`.
        options: of those of `options_of`; what is not given keeps its default.

    Raises:
        ValueError, TypeError: an option that the method does not have, or a value out of its range, which is
            named by its option.

    >>> assembled("am", {"optimizer": "sgd", "local_lr": 0.1, "code_steps": 5}).targets.code_steps
    5
    """
    values = dict(options)
    chosen = values.pop("optimizer", default_optimizer(name))
    known, changes = places(name, chosen), dict[str, Any]()
    for option, value in values.items():
        way, argument = known[checks.one_of("option", option, known)]
        inner = changes
        for part in way:
            inner = inner.setdefault(part, {})
        inner[argument] = value
    return _changed(_example(name, chosen), changes)


def _changed(part: Any, changes: Mapping[str, Any]) -> Any:
    """Return a part with other arguments; those of a part inside it are a dict."""
    made = {
        key: _changed(getattr(part, key), value) if isinstance(value, dict) else value
        for key, value in changes.items()
    }
    try:
        return replace(part, **made)
    except (ValueError, TypeError) as error:
        argument, space, rest = str(error).partition(" ")
        option = NAMES.get(type(part), {}).get(argument, argument)
        raise type(error)(f"{option}{space}{rest}") from None


def methods_with(option: str) -> tuple[str, ...]:
    """Return the methods, and of them all optimizers, for which an option means something."""
    return tuple(
        name for name in METHODS if any(option in options_of(name, chosen) for chosen in _chosen(name))
    )


def takes_optimizer(name: str) -> bool:
    """Tell whether a method has an optimizer to choose."""
    return default_optimizer(name) is not None


@functools.cache
def default_optimizer(name: str) -> str | None:
    """Return the name of the optimizer that a method has by default; None for a method without one.

    >>> default_optimizer("locoprop-m"), default_optimizer("am"), default_optimizer("kfac")
    ('rmsprop', 'adam', None)
    """
    example: Any = method(name)
    chooser: Any = example.solver if isinstance(example, LocoProp) else example
    rule = chooser.optimizer if "optimizer" in {f.name for f in fields(chooser)} else None
    if isinstance(rule, Momentum):
        return "nesterov" if rule.nesterov else "momentum"
    return next((known for known in OPTIMIZERS if type(optimizer(known)) is type(rule)), None)


def choices_of(option: str) -> tuple[str, ...]:
    """Return the values that an option may have, from the `Literal` type of its field; else ()."""
    return _choices().get(option, ())


@functools.cache
def _choices() -> Mapping[str, tuple[str, ...]]:
    kinds = {
        (option, type(_at(_example(name, chosen), way)), argument)
        for name in METHODS
        for chosen in _chosen(name)
        for option, (way, argument) in places(name, chosen).items()
    }
    hints = {part: get_type_hints(part) for _, part, _ in kinds}
    literal = {(o, hints[part][key]) for o, part, key in kinds if get_origin(hints[part][key]) is Literal}
    return {option: get_args(kind) for option, kind in literal}


def defaults_in_words(option: str) -> str:
    """Return the defaults of an option, method by method where they differ.

    >>> defaults_in_words("weight_step")
    'inf, locoprop-s-closed/locoprop-m-exact/am-mem 0.1'
    """
    checks.one_of("option", option, {o for name in METHODS for o in options_of(name)})
    found = {name: options_of(name)[option] for name in METHODS if option in options_of(name)}
    values = list(found.values())
    usual = found.get(_FIRST, max(values, key=values.count))
    others: dict[Any, list[str]] = {}
    for name, value in found.items():
        if value != usual:
            others.setdefault(value, []).append(name)
    return ", ".join([in_words(usual), *(f"{'/'.join(names)} {in_words(v)}" for v, names in others.items())])


def _chosen(name: str) -> tuple[str | None, ...]:
    """Return the optimizers that a method may have, (None,) for a method without."""
    return OPTIMIZERS if takes_optimizer(name) else (None,)


@functools.cache
def _example(name: str, chosen: str | None) -> Method:
    """Return the method with its defaults, which may hang on the optimizer."""
    if chosen is None or chosen == default_optimizer(name) or not takes_optimizer(name):
        return method(name)
    if named_optimizer(name):
        return method(name, optimizer_name=chosen)
    changed: Method = _changed(method(name), {"solver": {"optimizer": optimizer(chosen)}})
    return changed


def _at(example: Any, way: tuple[str, ...]) -> Any:
    """Return the part of a method at the end of a way, or None."""
    return functools.reduce(lambda part, key: getattr(part, key, None), way, example)


def in_words(value: Any) -> str:
    """Return a setting as help texts and tables spell it: yes or no, and numbers in short."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
