"""The options of every method, read from its dataclasses: names, defaults and choices stand nowhere else.

An option is a flat name, as the command line and run files have it. Those of a LocoProp method are the
settings of its parts; an optimizer's hyper-parameters have the same names inside LocoProp and for BackProp.

>>> options_of("locoprop-s-closed")["target_step"]
100.0
>>> options_of("backprop", "adam")["momentum"]
0.9
"""

import functools
from dataclasses import fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from locoprop_ref import checks
from locoprop_ref.methods.backprop import BackProp, backprop
from locoprop_ref.methods.base import Method
from locoprop_ref.methods.locoprop import LocoProp
from locoprop_ref.methods.registry import METHODS, method
from locoprop_ref.optimizers import OPTIMIZERS, Optimizer, optimizer
from locoprop_ref.solvers import Descend

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

# how the layers are run and what is reported are no choices of a method
_NOT_OPTIONS = frozenset(
    """
    parallel_layers diagnose preconditioner clip local_loss targets regularizer solver optimizer
    gradient_form tolerance max_newton_steps memory_limit
    """.split()
)

DEFAULT_OPTIMIZER = "rmsprop"


def options_of(name: str, optimizer_name: str | None = None) -> dict[str, Any]:
    """Return the options of a method with their defaults.

    Args:
        name: one of `METHODS`.
        optimizer_name: one of `OPTIMIZERS`, for a method that has one; default "rmsprop".

    Returns:
        option → default, among them "optimizer" where the method takes one, with the hyper-parameters of it.
    """
    return dict(_options_of(name, optimizer_name or DEFAULT_OPTIMIZER))


@functools.cache
def _options_of(name: str, chosen: str) -> dict[str, Any]:
    example = method(name)
    found: dict[str, Any] = {}
    if isinstance(example, BackProp):
        example = backprop(chosen)
    for part in (example, getattr(example, "solver", None)):
        found |= {} if part is None else _settings(part)
    if isinstance(example, LocoProp):
        found |= {"target_step": example.target_step, "weight_step": example.weight_step}
    rule = _rule(example, chosen)
    if rule is not None:
        found |= {"optimizer": chosen} | hyper_parameters(rule, chosen)
    return found


def hyper_parameters(rule: Optimizer, name: str) -> dict[str, Any]:
    """Return the hyper-parameters of an optimizer of that name, as options."""
    return {option: getattr(rule, argument) for option, argument in HYPER[name].items()}


def methods_with(option: str) -> tuple[str, ...]:
    """Return the methods, and of them all optimizers, for which an option means something."""
    return tuple(
        name
        for name in METHODS
        if any(option in options_of(name, o) for o in (OPTIMIZERS if takes_optimizer(name) else (None,)))
    )


def takes_optimizer(name: str) -> bool:
    """Tell whether a method has an optimizer to choose."""
    return "optimizer" in options_of(name)


def choices_of(option: str) -> tuple[str, ...]:
    """Return the values that an option may have, from the `Literal` type of its field; else ()."""
    kinds = [hints.get(option) for hints in _hints()]
    return next((get_args(kind) for kind in kinds if get_origin(kind) is Literal), ())


@functools.cache
def _hints() -> tuple[dict[str, Any], ...]:
    """Return the types of the fields of all methods, their solvers, and all optimizers."""
    examples: list[Any] = [method(name) for name in METHODS]
    examples += [example.solver for example in examples if isinstance(example, LocoProp)]
    examples += [optimizer(name) for name in OPTIMIZERS]
    return tuple(get_type_hints(kind) for kind in dict.fromkeys(map(type, examples)))


def defaults_in_words(option: str) -> str:
    """Return the defaults of an option, method by method where they differ.

    >>> defaults_in_words("target_step")
    '10, locoprop-s-closed 100'
    """
    checks.one_of("option", option, {o for name in METHODS for o in options_of(name)})
    found = {name: options_of(name)[option] for name in METHODS if option in options_of(name)}
    values = list(found.values())
    usual = max(values, key=values.count)
    others = [f"{name} {in_words(value)}" for name, value in found.items() if value != usual]
    return ", ".join([in_words(usual), *others])


def _settings(part: Any) -> dict[str, Any]:
    return {f.name: getattr(part, f.name) for f in fields(part) if f.name not in _NOT_OPTIONS}


def _rule(example: Method, chosen: str) -> Optimizer | None:
    """Return the optimizer of that name as the method has it: LocoProp's own RMSProp is the authors'."""
    if isinstance(example, BackProp):
        return example.optimizer
    solver = getattr(example, "solver", None)
    if not isinstance(solver, Descend):
        return None
    return solver.optimizer if chosen == DEFAULT_OPTIMIZER else optimizer(chosen)


def in_words(value: Any) -> str:
    """Return a setting as help texts and tables spell it: yes or no, and numbers in short."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
