"""Options: each is in the help with its default, changes what it says and nothing else, or is refused."""

import dataclasses
import math
import re
from argparse import Namespace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from small_runs import (
    BASE,
    SIZES,
    TRANSFERS,
    assert_same_weights,
    by_hand,
    differ,
    run,
    weights,
    without_seconds,
    write_data,
)

from locoprop_ref.cli import main as cli
from locoprop_ref.code_targets import CodeTargets
from locoprop_ref.feedback_targets import FeedbackTargets
from locoprop_ref.inverse_targets import InverseTargets
from locoprop_ref.memory import Memory
from locoprop_ref.methods.admm import ADMM
from locoprop_ref.methods.backprop import BackProp
from locoprop_ref.methods.foof import FOOF
from locoprop_ref.methods.kfac import KFAC
from locoprop_ref.methods.locoprop import LocoProp
from locoprop_ref.methods.mac import MAC
from locoprop_ref.methods.options import options_of
from locoprop_ref.methods.registry import METHODS
from locoprop_ref.methods.shampoo import Shampoo
from locoprop_ref.optimizers import SGD, AdaGrad, Adam, Momentum, RMSProp
from locoprop_ref.solvers import ClosedForm, Descend, Newton
from locoprop_ref.training.build import (
    build_method,
    epoch_rate,
    layer_sizes,
    layer_transfers,
)
from locoprop_ref.training.config import APPLIES, PRESETS, resolve
from locoprop_ref.training.options import Config, as_json, from_json
from locoprop_ref.transfers import transfer

FIELDS = [field.name for field in dataclasses.fields(Config)]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data") / "tiny.npz")


# ------------------------------ the options are there


# the list of the design, section 6
DESIGN = """
    --method --data --data-dir --layers --transfer --output-loss --epochs --schedule-epochs --batch-size
    --optimizer --learning-rate --local-lr --num-local-steps --target-step --weight-step --local-reduction
    --local-decay --local-state --target-order --project-targets --dialect --momentum --decay --epsilon --init
    --seed --backend --dtype --preset --out
""".split()
# choices of the authors' experiment: their help says whose default it is
AUTHORS = """
    --transfer --code-transfer --init --schedule --batch-size --optimizer --dialect --momentum --decay
    --epsilon --local-lr --num-local-steps --local-decay --local-state --target-step --weight-step
    --local-reduction --project-targets
""".split()
WITHOUT_DEFAULT = {"--data-dir", "--preset", "--resume", "--overwrite"}  # not given is their default


def train_help(capsys):
    """Option → its help, from `locoprop-ref train --help`, line breaks taken out."""
    with pytest.raises(SystemExit) as stop:
        cli.main(["train", "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    entries = re.split(r"^  (?=-)", text, flags=re.MULTILINE)[1:]
    return {re.split(r"[ ,\n]", entry)[0]: " ".join(entry.split()) for entry in entries}


def test_help_names_every_option_with_its_default_and_source(capsys):
    found = train_help(capsys)
    assert set(DESIGN) <= set(found)
    assert {"--" + name.replace("_", "-") for name in FIELDS} <= set(found)
    for option, text in found.items():
        if option not in WITHOUT_DEFAULT | {"-h"}:
            assert "default" in text, option
    for option in AUTHORS:
        assert "authors" in found[option], option


def test_paper_and_code_names_options_that_exist(capsys):
    """Every option in the table of choices is one of `train`, and every choice of the authors is in it."""
    text = (Path(__file__).parents[2] / "PAPER-AND-CODE.md").read_text(encoding="utf-8")
    named = set(re.findall(r"--[a-z][a-z-]*", text))
    assert named <= set(train_help(capsys)) | {"--bias"}
    assert set(AUTHORS) <= named
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows} == {7, 5}  # LocoProp's readings, and those of the others
    for row in rows:
        if row.startswith(("| choice", "|---")):
            continue
        cell = row.split("|")[-2].strip()
        option = r"`--[a-z-]+`( \([^()`]+\))?"
        assert cell == "–" or re.fullmatch(f"{option}(, {option})*", cell), row


def test_the_tables_of_the_documentation_are_those_of_the_dataclasses(tables):
    """`make docs` would change nothing; with another default in a table it would."""
    assert tables.main(["--check"]) == 0, "run `make docs`"
    row = "| step γ | free | 10 | 10 | 10 | `--target-step` (11), `--layers`, `--bias` (no) |"
    assert tables.with_defaults(row) == row.replace("(11)", "(10, locoprop-s-closed 100, fa/dfa 1)").replace(
        "no", "yes"
    )
    assert tables.default_of("decay", "Adam") == "0.999"
    assert tables.default_of("initial_accumulator", "AdaGrad") is None
    begins = [tables.BEGIN.format(name) for name in tables.BLOCKS]
    written = tables.command_line(
        "before" + "".join(f"\n{begin}\nold\n{tables.END}\nafter" for begin in begins)
    )
    assert written.startswith(f"before\n{begins[0]}\n") and written.endswith(f"{tables.END}\nafter")
    assert "| `--inverse-interval` |" in written and "default 20, foof 1" in written and "old" not in written
    assert "| epochs | 12 | 10 | 99 | 20 |" in written
    assert "| rmsprop | epsilon | 1e-16 to 0.1 | 1e-08 to 0.01 | 1e-08 to 0.01 |" in written
    assert "| locoprop-m, wide | local_state | keep, reset |" in written


def test_paper_and_code_agrees_with_the_defaults():
    """The numbers that the table gives as ours are those of the Config."""
    exact, closed = resolve(method="locoprop-m-exact"), resolve(method="locoprop-s-closed")
    assert (closed.target_step, closed.weight_step, exact.weight_step) == (100.0, 0.1, 0.1)
    adam, back = resolve(optimizer="adam"), resolve(method="backprop")
    assert (adam.momentum, adam.decay, adam.epsilon) == (0.9, 0.999, 1e-8)
    assert (back.learning_rate, back.momentum) == (3e-4, 0.9)
    assert resolve(optimizer="nesterov").momentum == resolve(optimizer="momentum").momentum == 0.9
    np.testing.assert_array_equal(AdaGrad().init(np.ones(1))["sum_of_squares"], [0.1])
    assert transfer("leaky_relu").parameters["derivative_at_zero"] == "slope"


# what the help says in words → what the resolved Config holds
DEFAULTS = [
    ({}, {"method": "locoprop-m", "data": "curves", "task": "autoencode", "transfer": "tanh"}),
    ({}, {"code_transfer": "identity", "output_loss": "sigmoid_cross_entropy", "init": "glorot_uniform"}),
    ({}, {"epochs": 10, "schedule": "authors", "schedule_epochs": 11, "batch_size": 1000, "bias": True}),
    ({}, {"optimizer": "rmsprop", "dialect": "tf1", "momentum": 0.999, "decay": 0.9, "epsilon": 1e-5}),
    ({}, {"local_lr": 1e-5, "num_local_steps": 10, "local_decay": "authors", "local_state": "keep"}),
    ({}, {"target_step": 10.0, "weight_step": math.inf, "local_reduction": "sum", "target_order": "jacobi"}),
    ({}, {"project_targets": False, "seed": 0, "backend": "numpy", "dtype": "float32", "diagnostics": False}),
    ({"method": "backprop"}, {"learning_rate": 3e-4, "momentum": 0.9, "decay": 0.9, "target_step": None}),
    ({"method": "locoprop-s"}, {"target_step": 10.0, "weight_step": math.inf, "momentum": 0.999}),
    ({"method": "locoprop-s-closed"}, {"target_step": 100.0, "weight_step": 0.1, "form": "auto"}),
    ({"method": "locoprop-m-exact"}, {"target_step": 10.0, "weight_step": 0.1, "optimizer": None}),
    ({"optimizer": "adam"}, {"momentum": 0.9, "decay": 0.999, "epsilon": 1e-8, "dialect": "tf1"}),
    ({"optimizer": "nesterov"}, {"momentum": 0.9, "decay": None, "epsilon": None, "dialect": None}),
    (
        {"task": "classify", "data": "mnist"},
        {"output_loss": "softmax_cross_entropy", "layers": "784-300-100-10"},
    ),
    ({"epochs": 7}, {"epochs": 7, "schedule_epochs": 8}),
    ({"preset": "paper", "schedule": "constant"}, {"epochs": 99, "schedule_epochs": None}),
]


@pytest.mark.parametrize(("given", "wanted"), DEFAULTS)
def test_defaults_are_what_the_help_says(given, wanted):
    config = resolve(**given)
    assert {name: getattr(config, name) for name in wanted} == wanted


@pytest.mark.parametrize("name", METHODS)
def test_every_option_with_a_meaning_is_filled_in_and_no_other(name):
    config = resolve(method=name)
    for option, methods in APPLIES.items():
        # AdaGrad's own; a switch with a default; none of the sweeps
        if option not in ("initial_accumulator", "diagnostics", "num_sweeps"):
            assert (getattr(config, option) is not None) == (name in methods), option


def test_presets():
    paper = resolve(preset="paper")
    wanted = {
        "data": "mnist",
        "layers": "784-1000-500-250-30-250-500-1000-784",
        "epochs": 99,
        "schedule_epochs": 100,
        "batch_size": 1000,
        "local_lr": 1e-5,
        "decay": 0.9,
        "momentum": 0.999,
        "epsilon": 1e-5,
        "target_step": 10.0,
        "num_local_steps": 10,
        "weight_step": math.inf,
        "schedule": "authors",
    }
    assert {name: getattr(paper, name) for name in wanted} == wanted
    assert layer_transfers(paper) == ("tanh",) * 3 + ("identity",) + ("tanh",) * 3 + ("sigmoid",)
    curves = resolve(preset="curves")
    assert (curves.data, curves.layers) == ("curves", "784-400-200-100-50-25-6-25-50-100-200-400-784")
    assert set(PRESETS) == {"paper", "curves"}
    short = resolve(preset="paper", epochs=3, seed=4)  # an explicit choice wins, the others stay
    assert (short.epochs, short.schedule_epochs, short.seed, short.layers) == (3, 100, 4, paper.layers)


# ------------------------------ the schedule


@pytest.mark.parametrize("total", [20, 100, 200])
def test_epoch_rate_is_the_authors_schedule(total):
    """Section 5 of the design: r = e/w for e < w, else 1 − (e + 1 − w)/(T − w), with w 5 % of T."""
    config = resolve(epochs=total - 1, schedule_epochs=total)
    w = total * 5 // 100
    wanted = [e / w for e in range(w)] + [(total - e - 1) / (total - w) for e in range(w, total)]
    rates = [epoch_rate(config, e) for e in range(total)]
    # the same fractions in another order of operations: a few roundings of numbers up to 1
    np.testing.assert_allclose(rates, wanted, rtol=0, atol=4 * np.finfo(float).eps)
    assert rates[0] == 0 and rates[-1] == 0 and min(rates[1:-1]) > 0


def test_epoch_rate_at_the_authors_length():
    config = resolve(preset="paper")
    numbers = {0: 0.0, 1: 0.2, 4: 0.8, 5: 94 / 95, 52: 47 / 95, 98: 1 / 95}
    for epoch, wanted in numbers.items():
        np.testing.assert_allclose(epoch_rate(config, epoch), wanted, rtol=0, atol=1e-15)  # three roundings


def test_epoch_rate_constant():
    assert {epoch_rate(resolve(schedule="constant", epochs=7), e) for e in range(7)} == {1.0}


# ------------------------------ each option changes what it says, and nothing else

RMS = RMSProp(dialect="tf1", decay=0.9, momentum=0.999, epsilon=1e-5)


def local(optimizer=RMS, s=1e-3, K=10, decay="authors", state="keep"):
    return Descend(optimizer, s, K, decay, state)


def m(solver=None, **settings):
    return LocoProp("matching", solver=solver or local(), **settings)


CLOSED = {"method": "locoprop-s-closed", "target_step": 2.0}
BACK = {"method": "backprop", "learning_rate": 1e-2}
ADAGRAD = {"optimizer": "adagrad"}
# two epochs of three batches: intervals of 2 and 3 tell the batches apart
TINY_INTERVALS = {"factor_interval": 2, "inverse_interval": 3}
MA, AD = {"method": "mac"}, {"method": "admm"}
AD_3 = {**AD, "epochs": 3}  # the multiplier moves codes in the second step, weights in the third
RELU = {"transfers": ("relu", "relu", "relu", "sigmoid")}
KF, FO, SH = ({"method": name, **TINY_INTERVALS} for name in ("kfac", "foof", "shampoo"))


def closed(form="auto", *, gamma, eta, **settings):
    return LocoProp("squared", solver=ClosedForm(form), target_step=gamma, weight_step=eta, **settings)


def second_order(build, **settings):
    return build(**{**TINY_INTERVALS, **settings})


@dataclasses.dataclass(frozen=True)
class Effect:
    """An option: options beside it, its value, and the run that it must give, put together by hand."""

    option: str
    value: object
    method: object
    beside: dict = dataclasses.field(default_factory=dict)
    hand: dict = dataclasses.field(default_factory=dict)
    follows: frozenset = frozenset()  # fields of the Config whose default hangs on this one

    def __str__(self):
        return f"{self.option}={self.value}"


def effect(option, value, method, beside=None, follows=(), **hand):
    return Effect(option, value, method, beside or {}, hand, frozenset(follows))


AM = {"method": "am", "code_steps": 2}  # momentum and the anchor begin to matter with the second step
RULES = {
    "am": partial(CodeTargets, last_layer="network_loss"),
    "am-mem": partial(CodeTargets, coupling=0.002, last_layer="gradient", last_step=500.0),
    "tp": partial(InverseTargets, correction="plain", forward_loss="squared_outputs"),
    "dtp": partial(InverseTargets, correction="difference", forward_loss="squared_outputs"),
    "fa": partial(FeedbackTargets, step=1.0),
    "dfa": partial(FeedbackTargets, step=1.0, path="direct"),
}


def relative(name, *, rule=None, s=1e-3, K=1, memory=None, eta=None, **rule_of_targets):
    """A relative of LocoProp, put together by hand from its parts."""
    solver = Memory(**(memory or {})) if name == "am-mem" else local(rule or Adam(), s, K, "constant")
    weight_step = (0.1 if eta is None else eta) if name == "am-mem" else None
    local_loss = "matching" if name in ("tp", "dtp") else "squared"
    if name == "am" and rule_of_targets:
        rule_of_targets = {"code_steps": 2} | rule_of_targets
    targets = RULES[name](**rule_of_targets)
    return LocoProp(local_loss, targets, solver=solver, weight_step=weight_step)


HYPER = ("momentum", "decay", "epsilon", "dialect", "initial_accumulator")
LOCAL = (
    "local_lr",
    "num_local_steps",
    "local_decay",
    "local_state",
    "target_step",
    "weight_step",
    "local_reduction",
)
EFFECTS = [
    effect("method", "locoprop-s", LocoProp("squared", solver=local())),
    effect("method", "backprop", BackProp(RMSProp(momentum=0.9), 3e-4),
           follows=("learning_rate", "momentum", *LOCAL, "target_order", "project_targets")),
    effect("method", "locoprop-s-closed", closed("auto", gamma=100.0, eta=0.1),
           follows=("form", "optimizer", *HYPER, *LOCAL)),
    effect("method", "locoprop-m-exact",
           LocoProp("matching", target_step=10.0, weight_step=0.1, solver=Newton()),
           follows=("optimizer", *HYPER, *LOCAL)),
    *(effect("method", name, build(),
             follows=("learning_rate", "target_order", "project_targets", "optimizer", *HYPER, *LOCAL,
                      *options_of(name)))
      for name, build in (("kfac", KFAC), ("foof", FOOF), ("shampoo", Shampoo))),
    effect("method", "ste", BackProp(RMSProp(momentum=0.9), 3e-4),
           follows=("learning_rate", "momentum", "transfer", *LOCAL, "target_order", "project_targets"),
           transfers=("sign", "identity", "sign", "sigmoid")),
    *(effect("method", name, relative(name),
             follows=("target_order", "project_targets", "local_reduction", "optimizer", *HYPER, *LOCAL,
                      *options_of(name)))
      for name in ("am", "am-mem", "tp", "dtp", "fa", "dfa")),
    *(effect("method", name, build(), **hand,
             follows=("batch_size", "target_order", "project_targets", "optimizer", *HYPER, *LOCAL,
                      *relu, *options_of(name)))
      for name, build, hand, relu in (("mac", MAC, {}, ()),
                                      ("admm", ADMM, RELU, ("transfer", "code_transfer")))),
    effect("task", "classify", m(), {"layers": "9-6-3"}, ("output_loss",),
           sizes=(9, 6, 3), transfers=("tanh", "softmax"), loss="softmax_cross_entropy", classify=True),
    effect("layers", "9-5-9", m(), sizes=(9, 5, 9), transfers=("identity", "sigmoid")),
    effect("width", 0.5, m(), sizes=(9, 3, 2, 3, 9)),
    effect("depth", 2, m(), {"layers": "9-6-4-2-4-6-9"}, sizes=(9, 6, 4, 4, 2, 4, 4, 6, 9),
           transfers=(*["tanh"] * 3, "identity", *["tanh"] * 3, "sigmoid")),
    effect("transfer", "relu", m(), transfers=("relu", "identity", "relu", "sigmoid")),
    effect("transfer", "relu,tanh,elu,sigmoid", m(), transfers=("relu", "tanh", "elu", "sigmoid")),
    effect("transfer", "sign", m(), transfers=("sign", "identity", "sign", "sigmoid")),
    effect("code_transfer", "tanh", m(), transfers=("tanh", "tanh", "tanh", "sigmoid")),
    effect("output_loss", "squared_error", m(),
           transfers=("tanh", "identity", "tanh", "identity"), loss="squared_error"),
    effect("bias", False, m(), bias=False),
    effect("init", "glorot_uniform_zero_bias", m(), init="glorot_uniform_zero_bias"),
    effect("epochs", 3, m(), follows=("schedule_epochs",), rates=(1, 1, 1)),
    # T = 2, w = 0: r = 1 − (e + 1)/2
    effect("schedule", "authors", m(), follows=("schedule_epochs",), rates=(1 - 1 / 3, 1 - 2 / 3)),
    effect("schedule_epochs", 40, m(), {"schedule": "authors"}, rates=(0.0, 0.5)),
    effect("batch_size", 25, m(), batch=25),
    effect("optimizer", "sgd", m(local(SGD())), follows=HYPER),
    effect("optimizer", "momentum", m(local(Momentum(0.9))), follows=HYPER),
    effect("optimizer", "nesterov", m(local(Momentum(0.9, nesterov=True))), follows=HYPER),
    effect("optimizer", "adagrad", m(local(AdaGrad())), follows=HYPER),
    effect("optimizer", "adam", m(local(Adam())), follows=HYPER),
    effect("optimizer", "adam", BackProp(Adam(), 1e-3), {"method": "backprop"}, (*HYPER, "learning_rate")),
    effect("dialect", "torch", m(local(dataclasses.replace(RMS, dialect="torch")))),
    effect("dialect", "torch", m(local(AdaGrad(dialect="torch"))), ADAGRAD),
    effect("dialect", "torch", m(local(Adam(dialect="torch"))), {"optimizer": "adam"}),
    effect("learning_rate", 2e-2, BackProp(RMSProp(momentum=0.9), 2e-2), BACK),
    effect("momentum", 0.5, m(local(dataclasses.replace(RMS, momentum=0.5)))),
    effect("momentum", 0.5, m(local(Adam(beta1=0.5))), {"optimizer": "adam"}),
    effect("momentum", 0.5, BackProp(RMSProp(momentum=0.5), 1e-2), BACK),
    effect("decay", 0.5, m(local(dataclasses.replace(RMS, decay=0.5)))),
    effect("decay", 0.5, m(local(Adam(beta2=0.5))), {"optimizer": "adam"}),
    effect("epsilon", 1e-2, m(local(dataclasses.replace(RMS, epsilon=1e-2)))),
    effect("epsilon", 1e-2, m(local(Adam(epsilon=1e-2))), {"optimizer": "adam"}),
    effect("epsilon", 1e-2, m(local(AdaGrad("torch", epsilon=1e-2))), {**ADAGRAD, "dialect": "torch"}),
    effect("initial_accumulator", 1e-5, m(local(AdaGrad(initial_accumulator=1e-5))), ADAGRAD),
    effect("local_lr", 2e-3, m(local(s=2e-3))),
    effect("num_local_steps", 3, m(local(K=3))),
    effect("local_decay", "constant", m(local(decay="constant"))),
    effect("local_state", "reset", m(local(state="reset"))),
    effect("target_step", 2.0, m(target_step=2.0)),
    effect("weight_step", 0.5, m(weight_step=0.5)),
    effect("weight_step", 0.5, closed(gamma=2.0, eta=0.5), CLOSED),
    effect("weight_step", math.inf, closed(gamma=2.0, eta=math.inf), CLOSED),
    effect("local_reduction", "mean", m(local_reduction="mean")),
    effect("local_reduction", "mean", closed(gamma=2.0, eta=0.1, local_reduction="mean"), CLOSED),
    effect("target_order", "gauss-seidel", m(target_order="gauss-seidel")),
    # targets leave (0, 1) and (−1, 1) only with a large step
    effect("project_targets", True, m(target_step=100.0, project_targets=True), {"target_step": 100.0}),
    effect("form", "dual", closed("dual", gamma=2.0, eta=0.1), CLOSED),
    effect("form", "inverse", closed("inverse", gamma=2.0, eta=0.1), CLOSED),
    effect("learning_rate", 2e-2, second_order(KFAC, learning_rate=2e-2), KF),
    effect("learning_rate", 2e-2, second_order(FOOF, learning_rate=2e-2), FO),
    effect("learning_rate", 2e-2, second_order(Shampoo, learning_rate=2e-2), SH),
    effect("momentum", 0.5, second_order(KFAC, momentum=0.5), KF),
    effect("momentum", 0.5, second_order(FOOF, momentum=0.5), FO),
    effect("momentum", 0.5, second_order(Shampoo, momentum=0.5), SH),
    effect("damping", 0.1, second_order(KFAC, damping=0.1), KF),
    effect("damping", 0.1, second_order(FOOF, damping=0.1), FO),
    effect("fisher", "empirical", second_order(KFAC, fisher="empirical"), KF),
    effect("kl_clip", 1e-4, second_order(KFAC, kl_clip=1e-4), KF),
    effect("factor_decay", 0.25, second_order(KFAC, factor_decay=0.25), KF),
    effect("factor_decay", 0.25, second_order(FOOF, factor_decay=0.25), FO),
    effect("factor_decay", 0.5, second_order(Shampoo, statistics="average", factor_decay=0.5),
           {**SH, "statistics": "average"}),
    effect("factor_interval", 2, second_order(KFAC), KF),
    effect("factor_interval", 2, second_order(FOOF), FO),
    effect("factor_interval", 2, second_order(Shampoo), SH),
    effect("inverse_interval", 3, second_order(KFAC), KF),
    effect("inverse_interval", 3, second_order(FOOF), FO),
    effect("inverse_interval", 3, second_order(Shampoo), SH),
    effect("epsilon", 1e-2, second_order(Shampoo, epsilon=1e-2), SH),
    effect("statistics", "average", second_order(Shampoo, statistics="average"), SH),
    effect("root", 6, second_order(Shampoo, root=6), SH),
    effect("grafting", "sgd", second_order(Shampoo, grafting="sgd"), SH),
    effect("grafting", "rmsprop", second_order(Shampoo, grafting="rmsprop"), SH),
    effect("grafting_decay", 0.5, second_order(Shampoo, grafting="rmsprop", grafting_decay=0.5),
           {**SH, "grafting": "rmsprop"}),
    effect("grafting_epsilon", 0.1, second_order(Shampoo, grafting="rmsprop", grafting_epsilon=0.1),
           {**SH, "grafting": "rmsprop"}),
    *(effect(option, value, relative("am", **{argument: value}), AM) for option, argument, value in (
        ("code_steps", "code_steps", 3), ("code_lr", "code_lr", 0.5), ("coupling", "coupling", 0.5),
        ("code_momentum", "momentum", 0.5), ("code_anchor", "anchor", 1.0),
        ("code_reduction", "reduction", "mean"), ("code_inputs", "inputs", "forward"),
        ("last_layer", "last_layer", "gradient"),
    )),
    effect("last_target_step", 20.0, relative("am-mem", last_step=20.0), {"method": "am-mem"}),
    effect("weight_step", 1.0, relative("am-mem", eta=1.0), {"method": "am-mem"}),
    *(effect(option, value, relative("am-mem", memory={argument: value}), {"method": "am-mem"})
      for option, argument, value in (
        ("memory_decay", "decay", 0.5), ("num_sweeps", "num_sweeps", 2), ("ridge", "ridge", "inside"))),
    *(effect(option, value, relative(name, **{argument: value}), {"method": name})
      for name in ("tp", "dtp") for option, argument, value in (
        ("target_step", "step", 2.0), ("target_start", "start", "output"),
        ("forward_loss", "forward_loss", "matching"), ("inverse_noise", "noise", 0.5),
        ("inverse_lr", "inverse_lr", 0.1), ("inverse_steps", "inverse_steps", 3))),
    *(effect(option, value, relative(name, **{argument: value}), {"method": name})
      for name in ("fa", "dfa")
      for option, argument, value in (("target_step", "step", 2.0), ("feedback_scale", "scale", 2.0))),
    effect("optimizer", "sgd", relative("am", rule=SGD(), s=1e-2), {"method": "am"}, (*HYPER, "local_lr")),
    effect("local_lr", 1e-2, relative("dtp", s=1e-2), {"method": "dtp"}),
    effect("num_local_steps", 3, relative("fa", K=3), {"method": "fa"}),
    effect("code_steps", 2, MAC(code_steps=2), MA),
    effect("code_lr", 0.01, MAC(code_lr=0.01), MA),
    effect("coupling", 0.1, MAC(coupling=0.1), MA),
    effect("activation_penalty", 2.0, ADMM(activation_penalty=2.0), AD, **RELU),
    effect("pre_activation_penalty", 2.0, ADMM(pre_activation_penalty=2.0), AD, **RELU),
    effect("multiplier_step", 0.5, ADMM(multiplier_step=0.5), AD_3, rates=(1, 1, 1), **RELU),
    effect("last_loss", "hinge", ADMM(last_loss="hinge"), AD, **RELU),
    effect("warm_start", 1, ADMM(warm_start=1), AD_3, rates=(1, 1, 1), **RELU),
    effect("seed", 1, m(), seed=1),
    effect("dtype", "float64", m(), dtype="float64"),
]  # fmt: skip
# tests of their own: the first three below, the others in test_step_evaluations.py
ELSEWHERE = {"data", "backend", "diagnostics", "evaluate_steps", "frozen_layers"}


def test_every_option_has_an_effect_under_test():
    assert {e.option for e in EFFECTS} | ELSEWHERE == set(FIELDS)


@pytest.fixture(scope="module")
def runs(data):
    """Runs by their options, each made once."""
    made = {}

    def cached(**options):
        key = tuple(sorted(options.items()))
        if key not in made:
            made[key] = run(data, **options)
        return made[key]

    return cached


@pytest.mark.parametrize("effect", EFFECTS, ids=str)
def test_an_option_does_what_it_says_and_nothing_else(effect, runs):
    beside = {name: value for name, value in effect.beside.items() if name != effect.option}
    changed = runs(**{**beside, effect.option: effect.value})
    # what it says: the run that is put together by hand with that argument, bit for bit
    assert_same_weights(changed.network, by_hand(effect.method, **effect.hand))
    # it matters
    without = runs(**{k: v for k, v in beside.items() if effect.option != "task" or k != "layers"})
    assert differ(changed.network, without.network)
    # and nothing else: the run files differ in this option and in what hangs on it
    here, there = changed.run["config"], without.run["config"]
    unlike = {name for name in here | there if here.get(name) != there.get(name)}
    allowed = {effect.option} | effect.follows | ({"layers"} if effect.option == "task" else set())
    assert effect.option in unlike
    assert unlike <= allowed


def test_by_hand_is_the_base_run(runs):
    """The reference of the table above, at its own defaults: the authors' method and initialization."""
    result = runs()
    assert layer_sizes(from_json(result.run["config"])) == SIZES
    assert layer_transfers(from_json(result.run["config"])) == TRANSFERS
    assert_same_weights(result.network, by_hand(m()))


def test_data(data, tmp_path, runs):
    """The data set is what is learned from, and it is named and hashed in the run file."""
    other = write_data(tmp_path / "other.npz", x_train=np.zeros((60, 9), np.uint8))
    result = run(other)
    assert differ(result.network, runs().network)
    assert result.run["data"]["name"] == "other.npz"
    assert result.run["data"]["sha256"] != runs().run["data"]["sha256"]


def test_backend(runs):
    """Another array library computes the same in its own arrays: one rounding is all that differs."""
    import array_api_strict

    result, reference = runs(backend="array-api-strict", dtype="float64"), runs(dtype="float64")
    assert type(result.network.layers[0].W) is type(array_api_strict.zeros(1))
    assert result.run["environment"]["backend"]["name"] == "array-api-strict"
    for got, wanted in zip(weights(result.network), weights(reference.network), strict=True):
        # 60 steps of sums over at most 20 terms; RMSProp divides by no less than √ε = 3e-3
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-11)
    assert runs().run["environment"]["backend"]["name"] == "numpy"


def test_diagnostics_change_no_number(runs):
    with_them, without = runs(diagnostics=True), runs()
    assert_same_weights(with_them.network, without.network)
    rows = without_seconds(with_them.run)["epochs"]
    assert [set(row) - {"epoch", "train", "test"} for row in rows] == [
        set(),
        {"diagnostics"},
        {"diagnostics"},
    ]
    assert [{k: v for k, v in row.items() if k != "diagnostics"} for row in rows] == without_seconds(
        without.run
    )["epochs"]


# ------------------------------ from the command line

SPELLED = {
    "method": ["--method", "locoprop-s"],
    "data": ["--data", "own.NPZ", "--layers", "9-9"],
    "task": ["--task", "classify", "--data", "mnist"],
    "layers": ["--layers", "784-5-784"],
    "width": ["--width", "0.5"],
    "depth": ["--depth", "2"],
    "transfer": ["--transfer", "relu"],
    "code_transfer": ["--code-transfer", "tanh"],
    "output_loss": ["--output-loss", "squared_error"],
    "bias": ["--no-bias"],
    "init": ["--init", "glorot_uniform_zero_bias"],
    "epochs": ["--epochs", "3"],
    "schedule": ["--schedule", "constant"],
    "schedule_epochs": ["--schedule-epochs", "40"],
    "batch_size": ["--batch-size", "25"],
    "optimizer": ["--optimizer", "adam"],
    "dialect": ["--dialect", "torch"],
    "learning_rate": ["--method", "backprop", "--learning-rate", "0.02"],
    "momentum": ["--momentum", "0.5"],
    "decay": ["--decay", "0.5"],
    "epsilon": ["--epsilon", "0.01"],
    "initial_accumulator": ["--optimizer", "adagrad", "--initial-accumulator", "1e-5"],
    "local_lr": ["--local-lr", "2e-3"],
    "num_local_steps": ["--num-local-steps", "3"],
    "local_decay": ["--local-decay", "constant"],
    "local_state": ["--local-state", "reset"],
    "target_step": ["--target-step", "2"],
    "weight_step": ["--weight-step", "0.5"],
    "local_reduction": ["--local-reduction", "mean"],
    "target_order": ["--target-order", "gauss-seidel"],
    "project_targets": ["--project-targets"],
    "form": ["--method", "locoprop-s-closed", "--form", "dual"],
    "code_steps": ["--method", "am", "--code-steps", "5"],
    "code_lr": ["--method", "am", "--code-lr", "0.5"],
    "coupling": ["--method", "am", "--coupling", "0.1"],
    "code_momentum": ["--method", "am", "--code-momentum", "0.9"],
    "code_anchor": ["--method", "am", "--code-anchor", "1"],
    "code_reduction": ["--method", "am", "--code-reduction", "mean"],
    "code_inputs": ["--method", "am-mem", "--code-inputs", "forward"],
    "last_layer": ["--method", "am", "--last-layer", "gradient"],
    "last_target_step": ["--method", "am-mem", "--last-target-step", "50"],
    "memory_decay": ["--method", "am-mem", "--memory-decay", "0.5"],
    "num_sweeps": ["--method", "am-mem", "--num-sweeps", "1"],
    "ridge": ["--method", "am-mem", "--ridge", "inside"],
    "target_start": ["--method", "tp", "--target-start", "output"],
    "forward_loss": ["--method", "dtp", "--forward-loss", "matching"],
    "inverse_noise": ["--method", "dtp", "--inverse-noise", "0"],
    "inverse_lr": ["--method", "tp", "--inverse-lr", "0.01"],
    "inverse_steps": ["--method", "dtp", "--inverse-steps", "2"],
    "feedback_scale": ["--method", "dfa", "--feedback-scale", "2"],
    "damping": ["--method", "foof", "--damping", "0.5"],
    "fisher": ["--method", "kfac", "--fisher", "empirical"],
    "kl_clip": ["--method", "kfac", "--kl-clip", "1e-3"],
    "factor_decay": ["--method", "kfac", "--factor-decay", "0.5"],
    "factor_interval": ["--method", "kfac", "--factor-interval", "3"],
    "inverse_interval": ["--method", "shampoo", "--inverse-interval", "3"],
    "statistics": ["--method", "shampoo", "--statistics", "average"],
    "root": ["--method", "shampoo", "--root", "2"],
    "grafting": ["--method", "shampoo", "--grafting", "sgd"],
    "grafting_decay": ["--method", "shampoo", "--grafting", "rmsprop", "--grafting-decay", "0.5"],
    "grafting_epsilon": ["--method", "shampoo", "--grafting", "rmsprop", "--grafting-epsilon", "0.1"],
    "frozen_layers": ["--frozen-layers", "1"],
    "activation_penalty": ["--method", "admm", "--activation-penalty", "2"],
    "pre_activation_penalty": ["--method", "admm", "--pre-activation-penalty", "2"],
    "multiplier_step": ["--method", "admm", "--multiplier-step", "0.5"],
    "last_loss": ["--method", "admm", "--last-loss", "hinge"],
    "warm_start": ["--method", "admm", "--warm-start", "1"],
    "seed": ["--seed", "1"],
    "evaluate_steps": ["--evaluate-steps", "1,2,5"],
    "backend": ["--backend", "array-api-strict"],
    "dtype": ["--dtype", "float64"],
    "diagnostics": ["--diagnostics"],
}


def configured(monkeypatch, *arguments):
    """The Config and the settings with which the command line would train."""
    caught = {}

    def catch(config, **settings):
        caught.update(settings, config=config)
        return Namespace(run={"status": "finished"})

    monkeypatch.setattr("locoprop_ref.training.train", catch)
    assert cli.main(["train", *arguments]) == 0
    return caught


@pytest.mark.parametrize("name", FIELDS)
def test_the_command_line_hands_every_option_on(name, monkeypatch):
    arguments = SPELLED[name]
    given = {}
    words = iter(arguments)
    for word in words:
        option = word.removeprefix("--")
        if option in ("no-bias", "project-targets", "diagnostics"):
            given[option.removeprefix("no-").replace("-", "_")] = not option.startswith("no-")
        else:
            value = next(words)
            kind = {f.name: f.metadata["kind"] for f in dataclasses.fields(Config)}[option.replace("-", "_")]
            given[option.replace("-", "_")] = kind(value)
    assert name in given
    config = configured(monkeypatch, *arguments)["config"]
    assert config == resolve(**given)
    assert getattr(config, name) != getattr(resolve(), name)


def test_the_command_line_hands_the_rest_on(monkeypatch, tmp_path):
    caught = configured(monkeypatch, "--data-dir", "here", "--out", str(tmp_path / "r.json"), "--resume")
    assert (caught["data_dir"], caught["out"], caught["resume"], caught["overwrite"]) == (
        Path("here"), tmp_path / "r.json", True, False,
    )  # fmt: skip
    assert configured(monkeypatch, "--overwrite")["overwrite"] is True
    named = configured(monkeypatch, "--preset", "paper", "--method", "backprop", "--seed", "3")
    assert named["out"].as_posix() == "runs/backprop-mnist-epochs99-seed3.json"
    assert named["config"] == resolve("paper", method="backprop", seed=3)


def test_switches_can_be_turned_off(monkeypatch):
    arguments = ["--no-project-targets", "--no-diagnostics", "--bias"]
    assert configured(monkeypatch, *arguments)["config"] == resolve()


# ------------------------------ refused

MEANINGLESS = [
    *((option, method) for option, methods in APPLIES.items() for method in METHODS if method not in methods)
]
SAMPLE = {
    "learning_rate": 0.1, "form": "dual", "optimizer": "sgd", "dialect": "tf1", "momentum": 0.5, "decay": 0.5,
    "epsilon": 0.1, "initial_accumulator": 0.1, "local_lr": 0.1, "num_local_steps": 3,
    "local_decay": "constant", "local_state": "keep", "target_step": 1.0, "weight_step": 1.0,
    "local_reduction": "mean", "target_order": "jacobi", "project_targets": False, "diagnostics": True,
    "damping": 0.1, "fisher": "sampled", "kl_clip": 1.0, "factor_decay": 0.5, "factor_interval": 2,
    "inverse_interval": 2, "statistics": "sum", "root": 4, "grafting": "none", "grafting_decay": 0.5,
    "grafting_epsilon": 0.1, "code_steps": 2, "code_lr": 0.5, "coupling": 2.0, "code_momentum": 0.5,
    "code_anchor": 1.0, "code_reduction": "mean", "code_inputs": "forward", "last_layer": "gradient",
    "last_target_step": 2.0, "memory_decay": 0.5, "num_sweeps": 2, "ridge": "inside",
    "target_start": "output", "forward_loss": "matching", "inverse_noise": 0.2, "inverse_lr": 0.1,
    "inverse_steps": 2, "feedback_scale": 2.0,
    "activation_penalty": 2.0,
    "pre_activation_penalty": 2.0, "multiplier_step": 0.5, "last_loss": "hinge", "warm_start": 1,
    "batch_size": 20,
}  # fmt: skip


@pytest.mark.parametrize("method", sorted({method for _, method in MEANINGLESS}))
def test_options_without_meaning_for_the_method(method):
    for option in (option for option, other in MEANINGLESS if other == method):
        with pytest.raises(ValueError, match=rf"^{option} has no meaning for method {method}$"):
            resolve(method=method, **{option: SAMPLE[option]})


def test_what_has_a_meaning_for_which_method():
    """BackProp has no local problem, exact solvers no steps, and only the closed form has forms."""
    steps = {"local_lr", "num_local_steps", "local_decay", "local_state"}
    problem = {
        "target_step",
        "weight_step",
        "local_reduction",
        "target_order",
        "project_targets",
        "diagnostics",
    }
    first_order = {"optimizer", *HYPER}
    running = {"learning_rate", "momentum", "factor_decay", "factor_interval", "inverse_interval"}
    relative = first_order | steps | {"weight_step", "diagnostics"}
    codes = {"code_steps", "code_lr", "coupling", "code_momentum", "code_anchor", "code_reduction",
             "code_inputs", "last_layer", "last_target_step"}  # fmt: skip
    inverses = {"target_step", "target_start", "forward_loss", "inverse_noise", "inverse_lr", "inverse_steps"}
    admm = {"activation_penalty", "pre_activation_penalty", "multiplier_step", "last_loss", "warm_start"}
    wanted = {
        "backprop": first_order | {"learning_rate"},
        "locoprop-s": first_order | steps | problem,
        "locoprop-m": first_order | steps | problem,
        "locoprop-s-closed": problem | {"form"},
        "locoprop-m-exact": problem,
        "kfac": running | {"damping", "fisher", "kl_clip"},
        "foof": running | {"damping"},
        "shampoo": running
        | {"epsilon", "statistics", "root", "grafting", "grafting_decay", "grafting_epsilon"},
        "am": relative | codes,
        "am-mem": codes | {"memory_decay", "num_sweeps", "ridge", "weight_step", "diagnostics"},
        "tp": relative | inverses,
        "dtp": relative | inverses,
        "fa": relative | {"target_step", "feedback_scale"},
        "dfa": relative | {"target_step", "feedback_scale"},
        "ste": first_order | {"learning_rate"},
    }
    wanted = {name: options | {"batch_size"} for name, options in wanted.items()}
    wanted |= {"mac": {"code_steps", "code_lr", "coupling"}, "admm": admm}
    assert {name: {o for o, names in APPLIES.items() if name in names} for name in METHODS} == wanted


MNIST = {"data": "mnist"}
ROWS = {"data": "mnist", "task": "classify", "layers": "28x28-r6-10"}
IMAGES = {"data": "mnist", "task": "classify", "layers": "28x28x1-c5x6-p2-10"}
REFUSED = {
    "decay of sgd": ({"optimizer": "sgd", "decay": 0.9}, "decay has no meaning for optimizer sgd"),
    "dialect of momentum": (
        {"optimizer": "momentum", "dialect": "tf1"},
        "dialect has no meaning for optimizer m",
    ),
    "momentum of adagrad": (
        {"optimizer": "adagrad", "momentum": 0.9},
        "momentum has no meaning for optimizer a",
    ),
    "accumulator": ({"initial_accumulator": 1}, "initial_accumulator has no meaning for optimizer rmsprop"),
    "epsilon of tf1 adagrad": (
        {"optimizer": "adagrad", "epsilon": 1},
        "epsilon has no meaning for adagrad in",
    ),
    "decay of a sum": (
        {"method": "shampoo", "factor_decay": 0.5},
        "factor_decay has no meaning for shampoo with statistics sum",
    ),
    "decay of no grafting": (
        {"method": "shampoo", "grafting_decay": 0.5},
        "grafting_decay has no meaning for shampoo with grafting none",
    ),
    "width of nothing": ({"width": 0.0}, "width must be a positive number, got 0"),
    "half as deep": ({"depth": 0}, "depth must be"),
    "nothing to repeat": ({"layers": "784-9-784", "depth": 2}, "depth must be 1 without a second hidden"),
    "code of a classifier": (
        {"task": "classify", **MNIST, "code_transfer": "tanh"},
        "code_transfer has no mean",
    ),
    "code without hidden": (
        {"layers": "784-784", "code_transfer": "tanh"},
        "code_transfer has no meaning with",
    ),
    "code and a list": (
        {"layers": "784-9-784", "transfer": "tanh,sigmoid", "code_transfer": "tanh"},
        "code_transfer has no meaning without",
    ),
    "length of no schedule": (
        {"schedule": "constant", "schedule_epochs": 9},
        "schedule_epochs has no meaning for",
    ),
    "too short": ({"epochs": 9, "schedule_epochs": 8}, "schedule_epochs must be at least epochs, 9, got 8"),
    "no length": ({"epochs": 9, "schedule_epochs": 0}, "schedule_epochs must be at least epochs, 9, got 0"),
    "inverse without eta": (
        {"method": "locoprop-s-closed", "form": "inverse", "weight_step": math.inf},
        "weight_step must be finite",
    ),
    "exact without eta": (
        {"method": "locoprop-m-exact", "weight_step": math.inf},
        "weight_step must be finite",
    ),
    "exact softmax": (
        {"method": "locoprop-m-exact", "task": "classify", **MNIST},
        "transfer must be elementwise",
    ),
    "exact hidden softmax": (
        {"method": "locoprop-m-exact", "transfer": "softmax"},
        "transfer must be elementwise",
    ),
    "exact sign": (
        {"method": "locoprop-m-exact", "transfer": "sign"},
        "transfer must be continuous for method locoprop-m-exact, got a sign layer$",
    ),
    "ste without sign": (
        {"method": "ste", "transfer": "tanh"},
        r"transfer must be sign in at least one layer for method ste, got 'tanh' \(without",
    ),
    "ste without a hidden layer": (
        {"method": "ste", "data": "d.npz", "layers": "9-9"},
        "layers must have a hidden layer with sign for method ste, got '9-9'$",
    ),
    "steps beyond counting": (
        {"method": "am", "num_local_steps": 10**400},
        "num_local_steps must be an integer of at most 9223372036854775807, got a larger one$",
    ),
    "a number beyond floats": (
        {"method": "am", "coupling": 10**400},
        "coupling must be a number of at most 1.8e308, got a larger one$",
    ),
    "codes through time": (
        {"method": "am", **ROWS},
        "network must have no recurrent layer for codes",
    ),
    "codes with memory through time": (
        {"method": "am-mem", **ROWS},
        "network must have no recurrent layer for codes",
    ),
    "inverses of patches": (
        {"method": "dtp", **IMAGES},
        "network must have dense layers alone for learned inverses, not layer 1",
    ),
    "inverses through time": (
        {"method": "tp", **ROWS},
        "network must have dense layers alone for learned inverses, not layer 1",
    ),
    "no matching loss for codes": (
        {"method": "am", "layers": "784-9-784", "transfer": "tanh,tanh", "output_loss": "squared_error"},
        "network must have the matching loss of its last transfer function",
    ),
    "no matching loss for inverses": (
        {"method": "dtp", "layers": "784-9-784", "transfer": "tanh,relu", "output_loss": "squared_error"},
        "network must have the matching loss of its last transfer function",
    ),
    "memory of no squared loss": (
        {"method": "am-mem", "last_layer": "network_loss"},
        "last_layer must be gradient for method am-mem with the last transfer sigmoid, got 'network_loss'$",
    ),
    "memory without eta": (
        {"method": "am-mem", "weight_step": math.inf},
        "weight_step must be finite for an exact memory, got inf",
    ),
    "step of no target": (
        {"method": "am", "last_target_step": 2.0},
        "last_target_step has no meaning for last_layer network_loss",
    ),
    "code momentum": (
        {"method": "am", "code_momentum": 1.0},
        "code_momentum must be at least 0 and below 1, got 1",
    ),
    "memory decay": (
        {"method": "am-mem", "memory_decay": 1.5},
        "memory_decay must be at least 0 and at most 1",
    ),
    "noise": ({"method": "tp", "inverse_noise": -1.0}, "inverse_noise must be"),
    "feedback": ({"method": "fa", "feedback_scale": 0.0}, "feedback_scale must be"),
    "unlabelled": ({"task": "classify"}, "data must have labels for task classify, got 'curves'"),
    "unknown option": ({"epoch": 3}, r"option must be one of .* got 'epoch' \(did you mean 'epochs'\?\)"),
    "unknown preset": ({"preset": "papers"}, r"preset must be one of .* \(did you mean 'paper'\?\)"),
    "unknown data": ({"data": "minst"}, r"data must be one of .* \(did you mean 'mnist'\?\)"),
    "data is no name": ({"data": 3}, "data must be a name or a path, got 3"),
    "no name": ({"data": ""}, "data must be one of curves"),
    "own data without layers": ({"data": "own.npz"}, "layers must be given for data 'own.npz'"),
    "empty layers": ({"layers": ""}, "layers must be widths joined by hyphens"),
    "one layer": ({"layers": "784"}, "layers must be widths joined by hyphens"),
    "width 0": ({"layers": "784-0-784"}, "layers must be widths joined by hyphens"),
    "not digits": ({"layers": "784-٣-784"}, "layers must be widths joined by hyphens"),
    "unknown transfer": ({"transfer": "tahn"}, r"transfer must be one of .* \(did you mean 'tanh'\?\)"),
    "too many transfers": (
        {"transfer": "tanh,tanh"},
        "transfer must be one name, or one for each of 12 layers",
    ),
}


@pytest.mark.parametrize(("given", "words"), REFUSED.values(), ids=REFUSED)
def test_refused(given, words):
    with pytest.raises((ValueError, TypeError), match=f"^{words}") as caught:
        resolve(**given)
    assert "\n" not in str(caught.value)


NAMED = [f.name for f in dataclasses.fields(Config) if f.metadata["choices"]]


@pytest.mark.parametrize("name", NAMED)
def test_unknown_names_suggest_the_nearest(name):
    methods = {
        "form": "locoprop-s-closed", "fisher": "kfac", "statistics": "shampoo", "grafting": "shampoo",
        "code_reduction": "am", "code_inputs": "am", "last_layer": "am", "ridge": "am-mem",
        "target_start": "tp", "forward_loss": "dtp",
    }  # fmt: skip
    method = methods.get(name, "locoprop-m")
    choices = {f.name: f.metadata["choices"] for f in dataclasses.fields(Config)}[name]
    wrong = choices[0] + "x"
    with pytest.raises(ValueError, match=rf"^{name} must be one of .*got '{wrong}' \(did you mean '"):
        resolve(**{**({} if name == "method" else {"method": method}), name: wrong})


OUT_OF_RANGE = {
    "epochs": (-1, 1.5),
    "schedule_epochs": (-1,),
    "batch_size": (0, -1, 2.0),
    "seed": (-1, 0.5),
    "local_lr": (0.0, -1.0, math.inf, math.nan),
    "num_local_steps": (0, 2.5),
    "momentum": (-0.1, 1.0, math.nan),
    "decay": (-0.1, 1.0),
    "epsilon": (0.0, -1.0),
    "target_step": (0.0, -1.0, math.inf, math.nan),
    "weight_step": (0.0, -1.0, -math.inf, math.nan),
}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in OUT_OF_RANGE.items() for v in values])
def test_out_of_range(name, value):
    with pytest.raises((ValueError, TypeError), match=f"^{name} must be "):
        resolve(**{name: value})


@pytest.mark.parametrize(("name", "value"), [("learning_rate", 0.0), ("learning_rate", -1.0)])
def test_out_of_range_of_backprop(name, value):
    with pytest.raises(ValueError, match=f"^{name} must be "):
        resolve(method="backprop", **{name: value})


# ------------------------------ a Config is data


@pytest.mark.parametrize("method", METHODS)
def test_json_round_trip(method):
    config = resolve(method=method, seed=3)
    values = as_json(config)
    assert from_json(values) == config
    assert build_method(from_json(values)) == build_method(config)
    assert None not in values.values()
    assert math.inf not in values.values()


def test_json_of_another_version_is_refused():
    with pytest.raises(ValueError, match=r"config field must be one of .* \(did you mean 'momentum'\?\)"):
        from_json({"momentun": 0.5})


def test_base_is_not_the_default():
    """The tiny runs leave the authors' settings where they say so, and only there."""
    config, default = resolve(data="own.npz", **BASE), resolve(layers=BASE["layers"])
    unlike = {f for f in FIELDS if getattr(config, f) != getattr(default, f)}
    assert unlike == {"data", "batch_size", "epochs", "schedule", "schedule_epochs", "local_lr"}


@pytest.mark.parametrize("option", ["code_steps", "inverse_steps", "num_sweeps"])
def test_a_network_is_tried_in_one_repetition(option):
    """A million steps on the codes are for the run; what resolve tries out takes none of them."""
    method = {"code_steps": "am", "inverse_steps": "dtp", "num_sweeps": "am-mem"}[option]
    assert getattr(resolve(method=method, **{option: 10**12}), option) == 10**12


@pytest.mark.parametrize(
    "given",
    [{"method": "am", "coupling": 1e-320}, {"method": "am", "code_lr": 1e308},
     {"method": "dtp", "inverse_noise": 1e300}, {"method": "fa", "feedback_scale": 1e300},
     {"method": "am-mem", "coupling": 1e-300}],
    ids=lambda given: given["method"],
)  # fmt: skip
def test_numbers_beyond_the_dtype_give_no_warning(given):
    """They are for the run to report, in one line; warnings would be errors here."""
    assert resolve(**given).method == given["method"]
