"""One truth for every default: the classes, the functions by name, the options and the docstrings agree."""

import dataclasses
import inspect
import re
from math import inf

import pytest

from locoprop_ref import (
    METHODS,
    ClosedForm,
    CodeTargets,
    Descend,
    FeedbackTargets,
    GradientTargets,
    InverseTargets,
    Memory,
    Newton,
    Proximal,
    backprop,
    method,
)
from locoprop_ref.methods import FOOF, KFAC, Shampoo
from locoprop_ref.methods.backprop import LEARNING_RATES, BackProp
from locoprop_ref.methods.locoprop import LocoProp, locoprop_m_exact, locoprop_s_closed
from locoprop_ref.methods.options import assembled, choices_of, defaults_in_words, methods_with, options_of
from locoprop_ref.methods.relatives import am, am_mem, dfa, dtp, fa, ste, tp
from locoprop_ref.optimizers import OPTIMIZERS, SGD, AdaGrad, Adam, Momentum, RMSProp
from locoprop_ref.training.build import build_method
from locoprop_ref.training.config import resolve


@pytest.mark.parametrize("name", METHODS)
def test_the_command_line_and_the_function_build_the_same_method(name):
    """Once the default of `method("backprop")` had momentum 0 where `train --method backprop` had 0.9."""
    assert build_method(resolve(method=name)) == method(name)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_backprop_with_every_optimizer_is_the_same_from_both(name):
    built = build_method(resolve(method="backprop", optimizer=name))
    assert built == backprop(name)
    assert built.learning_rate == LEARNING_RATES[name]
    local = build_method(resolve(method="locoprop-m", optimizer=name)).solver.optimizer
    assert type(local) is type(built.optimizer)


@pytest.mark.parametrize("name", METHODS)
def test_options_are_what_the_method_has(name):
    """Every option changes the method that is built, and nothing else is an option."""
    options = options_of(name)
    assert set(options) <= {field.name for field in dataclasses.fields(resolve())}
    for option, default in options.items():
        assert name in methods_with(option)
        assert getattr(resolve(method=name), option) == default


def test_the_known_defaults():
    """The defaults themselves, written down once more: a changed one is a decision, not an accident."""
    assert BackProp() == BackProp(RMSProp("tf1", 0.9, 0.9, 1e-5), 3e-4)
    assert RMSProp() == RMSProp("tf1", 0.9, 0.0, 1e-5)
    assert LocoProp("matching").targets == GradientTargets(10.0)
    assert LocoProp("matching").regularizer == Proximal(inf)
    assert Descend() == Descend(RMSProp("tf1", 0.9, 0.999, 1e-5), 1e-5, 10, "authors", "keep", "auto")
    closed, exact = locoprop_s_closed(), locoprop_m_exact()
    assert (closed.target_step, closed.weight_step, closed.solver) == (100.0, 0.1, ClosedForm("auto"))
    relatives = {name: method(name).targets for name in ("am", "am-mem", "tp", "dtp", "fa", "dfa")}
    assert relatives == {
        "am": CodeTargets(1, 1.0, 1.0, 0.0, 0.0, "sum", "moved", "network_loss"),
        "am-mem": CodeTargets(1, 1.0, 0.002, 0.0, 0.0, "sum", "moved", "gradient", 500.0),
        "tp": InverseTargets(10.0, "plain", "penultimate", "squared_outputs", 0.1, Adam(), 1e-3, 1),
        "dtp": InverseTargets(10.0, "difference", "penultimate", "squared_outputs", 0.1, Adam(), 1e-3, 1),
        "fa": FeedbackTargets(1.0, "alignment", 1.0),
        "dfa": FeedbackTargets(1.0, "direct", 1.0),
    }
    assert all(
        method(name).solver == Descend(Adam(), 1e-3, 1, "constant") for name in {*relatives} - {"am-mem"}
    )
    assert (method("am-mem").solver, method("am-mem").weight_step) == (Memory(0.9, None, "auto"), 0.1)
    assert method("ste") == method("backprop")
    assert (exact.target_step, exact.weight_step, exact.solver) == (10.0, 0.1, Newton(None, 50, 2**28))
    assert KFAC() == KFAC(0.01, 0.01, 0.9, "sampled", 0.95, 1, 20, inf)
    assert FOOF() == FOOF(0.1, 0.01, 0.0, 0.95, 1, 1)
    assert Shampoo() == Shampoo(0.1, 1e-4, 0.0, "sum", 0.99, 4, "none", 0.9, 1e-5, 1, 20)


def test_words_and_choices():
    assert defaults_in_words("target_step") == "10, locoprop-s-closed 100, fa/dfa 1"
    assert defaults_in_words("project_targets") == "no"
    assert choices_of("target_order") == ("jacobi", "gauss-seidel")
    assert choices_of("damping") == ()


DOCUMENTED = [
    SGD, Momentum, AdaGrad, RMSProp, Adam, Descend, ClosedForm, Newton, GradientTargets, Proximal,
    KFAC, FOOF, Shampoo, BackProp, LocoProp, locoprop_s_closed, locoprop_m_exact,
    am, am_mem, tp, dtp, fa, dfa, ste, CodeTargets, InverseTargets, FeedbackTargets, Memory,
]  # fmt: skip


def documented(owner):
    """(argument, the default that its entry of the docstring states), where it states a plain value."""
    text = inspect.getdoc(owner).partition("Args:")[2].partition("Raises:")[0]
    for name, entry in re.findall(r"^    (\w+): ((?:.|\n(?!    \w+: ))*)", text, flags=re.MULTILINE):
        found = re.search(
            r'\bdefault (True|False|inf|-?\d[\d.]*(?:e-?\d+)?\b(?! MiB)|"\w+")', " ".join(entry.split())
        )
        if found:
            yield name, found[1].rstrip(".")


@pytest.mark.parametrize("owner", DOCUMENTED, ids=lambda owner: owner.__name__)
def test_docstrings_state_the_defaults(owner):
    for name, words in documented(owner):
        default = inspect.signature(owner).parameters[name].default
        if default is dataclasses._HAS_DEFAULT_FACTORY or default is None:
            continue
        stated = {"True": True, "False": False, "inf": inf}.get(words)
        if stated is None:
            stated = words.strip('"') if words.startswith('"') else float(words)
        assert default == stated, f"{owner.__name__}.{name}: {default} in code, {words} in words"


def test_the_docstrings_are_read():
    assert dict(documented(KFAC))["damping"] == "0.01"
    assert dict(documented(LocoProp))["project_targets"] == "False"
    assert sum(len(list(documented(owner))) for owner in DOCUMENTED) > 35


def test_an_option_that_the_method_does_not_have_is_refused():
    with pytest.raises(
        ValueError, match=r"option must be one of .*, got 'code_step' \(did you mean 'code_steps'"
    ):
        assembled("am", {"code_step": 3})
