"""The table of all options: default, meaning and source of each, for Python and the command line."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from math import inf
from typing import Any

from locoprop_ref import checks
from locoprop_ref.backend import BACKENDS
from locoprop_ref.losses import OUTPUT_LOSSES
from locoprop_ref.methods.options import choices_of, defaults_in_words
from locoprop_ref.methods.registry import METHODS
from locoprop_ref.network import INITIALIZERS
from locoprop_ref.optimizers import OPTIMIZERS
from locoprop_ref.transfers import TRANSFERS

TASKS = ("autoencode", "classify", "regress")
SCHEDULES = ("authors", "constant")


_AUTHORS = "as in the authors' code"
_AUTHORS_LOCAL = "0.999 in the authors' code"
_GUESS = "a first guess"


def _option(default: Any, help: str, kind: type = str, choices: tuple[str, ...] | None = None) -> Any:
    return field(default=default, metadata={"help": help, "kind": kind, "choices": choices})


def _setting(name: str, help: str, source: str = "", kind: type = str) -> Any:
    """Return an option of the methods: its choices and defaults are read from their dataclasses."""
    choices = OPTIMIZERS if name == "optimizer" else choices_of(name)
    known = f"{defaults_in_words(name)}; {source}" if source else defaults_in_words(name)
    return _option(None, f"{help} (default {known})", kind, choices or None)


@dataclass(frozen=True)
class Config:
    """Settings of one training run; see the help of each field, or `locoprop-ref train --help`."""

    # what is learned
    method: str = _option("locoprop-m", "training method (default locoprop-m)", choices=METHODS)
    data: Any = _option(
        None,
        "curves (default), mnist, fashion_mnist, or your own FILE.npz (x_train, x_test; see README); in "
        "Python also arrays, which train is given",
    )
    task: str = _option(
        "autoencode",
        "autoencode (default), classify the labels, or regress: y_train and y_test of your own data",
        choices=TASKS,
    )
    layers: Any = _option(
        None,
        "widths from input to output, 784-400-784, or words for images and sequences: "
        "28x28x1-c5x6+2-p2-120-10, 28x28-r64-10 (default: the data set's classic network)",
    )
    width: float = _option(
        1.0, "factor of the width of every hidden layer, the code included (default 1)", float
    )
    depth: int = _option(
        1,
        "repeat every hidden layer of the second one's width this many times (default 1)",
        int,
    )
    transfer: str = _option(
        "tanh",
        "of the hidden layers (default tanh, the authors; ste sign, admm relu), or one for every layer: "
        "tanh,relu,sigmoid",
    )
    code_transfer: str = _option(
        "identity",
        "that of an autoencoder's narrowest layer (default identity, the authors; admm relu)",
        choices=TRANSFERS,
    )
    output_loss: Any = _option(
        None,
        "network loss (default sigmoid_cross_entropy, to classify softmax_cross_entropy, to regress "
        "squared_error)",
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
        "rate over the epochs: authors (default; from 0 up over the first 5 %%, then down to 0) or constant "
        "(mac and admm always)",
        choices=SCHEDULES,
    )
    schedule_epochs: Any = _option(
        None, "length of the schedule (default: epochs + 1, as the authors' 99 of 100)", int
    )
    batch_size: Any = _option(
        None,
        "examples a batch; the remainder of an epoch is dropped (default 1000, the authors; mac and admm see "
        "all examples at once)",
        int,
    )
    # first-order rule: LocoProp's local one, BackProp's own
    optimizer: Any = _setting(
        "optimizer", "local optimizer of K steps, the network's for backprop and ste", _AUTHORS
    )
    dialect: Any = _setting("dialect", "formula of adagrad, rmsprop and adam", _AUTHORS)
    learning_rate: Any = _setting(
        "learning_rate",
        "of backprop and ste (with rmsprop), kfac, foof and shampoo",
        "first guesses, except backprop's",
        float,
    )
    momentum: Any = _setting(
        "momentum",
        "of momentum, nesterov, rmsprop (whose default stands here), kfac, foof and shampoo; adam's beta1",
        _AUTHORS_LOCAL,
        float,
    )
    decay: Any = _setting("decay", "of rmsprop's mean square; adam's beta2", _AUTHORS, float)
    epsilon: Any = _setting("epsilon", "of rmsprop, adam, adagrad (torch); ridge of shampoo", _AUTHORS, float)
    initial_accumulator: Any = _option(
        None, "of adagrad (default tf1 0.1, torch 0; 1e-5 in the authors' code)", float
    )
    # LocoProp
    local_lr: Any = _setting(
        "local_lr", "size s of the local steps; of am, tp, dtp, fa and dfa that with adam", _AUTHORS, float
    )
    num_local_steps: Any = _setting("num_local_steps", "number K of local steps", _AUTHORS, int)
    local_decay: Any = _setting(
        "local_decay", "local rate within a batch: s*max(1 - k/K, 0.25), or constant", _AUTHORS
    )
    local_state: Any = _setting("local_state", "the local optimizer's state from batch to batch", _AUTHORS)
    target_step: Any = _setting("target_step", "step gamma of the targets", "10 in the authors' code", float)
    weight_step: Any = _setting(
        "weight_step",
        "proximal step eta, multiplied by the schedule's rate; inf for none",
        "inf in the authors' code",
        float,
    )
    local_reduction: Any = _setting("local_reduction", "local gradient over the batch", _AUTHORS)
    target_order: Any = _setting(
        "target_order", "targets before any weight moves (jacobi, the method), or layer after layer"
    )
    project_targets: Any = _setting(
        "project_targets", "project targets onto the range of the transfer function", _AUTHORS, bool
    )
    form: Any = _setting("form", "closed form; auto goes by shape")
    # the relatives: alternating minimization
    code_steps: Any = _setting("code_steps", "gradient steps on every code of am, am-mem and mac", "", int)
    code_lr: Any = _setting(
        "code_lr", "size of these steps, which mac halves where one would raise its objective", _GUESS, float
    )
    coupling: Any = _setting(
        "coupling",
        "mu of am, am-mem and mac: where codes move, the network loss has the weight 1/mu and the losses "
        "between layers have the weight 1",
        _GUESS,
        float,
    )
    code_momentum: Any = _setting(
        "code_momentum", "Nesterov's momentum of the codes' steps", "0.9 in the published code", float
    )
    code_anchor: Any = _setting(
        "code_anchor", "weight of the penalty 1/2 (code - its value in the forward pass)^2", "", float
    )
    code_reduction: Any = _setting(
        "code_reduction",
        "losses between layers are summed, or averaged, over batch and units",
        "mean in the published code",
    )
    code_inputs: Any = _setting(
        "code_inputs", "a layer's input is made of the moved codes, or taken from the forward pass"
    )
    last_layer: Any = _setting(
        "last_layer",
        "the last layer of am and am-mem learns on the network loss itself, or towards a gradient target",
    )
    last_target_step: Any = _setting(
        "last_target_step",
        "step gamma of the last layer's gradient target, with --last-layer gradient",
        "",
        float,
    )
    memory_decay: Any = _setting(
        "memory_decay",
        "share of am-mem's running sums that is kept with every batch; 1 forgets nothing",
        "",
        float,
    )
    num_sweeps: Any = _option(
        None,
        "sweeps of coordinate descent that am-mem makes for a batch (default none: the exact solution)",
        int,
    )
    ridge: Any = _setting(
        "ridge",
        "am-mem adds the ridge 1/eta once to its sums (inside), or anew for every batch (outside); auto: "
        "inside with memory-decay 1, else outside",
    )
    # target propagation and feedback alignment
    target_start: Any = _setting(
        "target_start", "tp and dtp: the topmost layer that gets a target, a gradient step from its value"
    )
    forward_loss: Any = _setting(
        "forward_loss",
        "tp and dtp: the weights learn on the matching loss, or on 1/2 (f(a) - target)^2",
        "Lee et al.",
    )
    inverse_noise: Any = _setting(
        "inverse_noise",
        "standard deviation of the noise with which tp and dtp train their inverses",
        _GUESS,
        float,
    )
    inverse_lr: Any = _setting(
        "inverse_lr", "learning rate of Adam, which trains the inverses of tp and dtp", "Adam's paper", float
    )
    inverse_steps: Any = _setting(
        "inverse_steps", "steps that the inverses of tp and dtp make for a batch", "", int
    )
    feedback_scale: Any = _setting(
        "feedback_scale",
        "factor of the random feedback weights of fa and dfa; 1 for the range of Glorot and Bengio",
        "",
        float,
    )
    # second-order methods
    damping: Any = _setting("damping", "lambda of kfac and foof, added to the curvature", _GUESS, float)
    fisher: Any = _setting("fisher", "Fisher matrix of kfac", "its paper")
    kl_clip: Any = _setting(
        "kl_clip", "bound of kfac's step in the metric of the Fisher matrix; inf for none", "", float
    )
    factor_decay: Any = _setting(
        "factor_decay", "of the running averages of kfac, foof and shampoo", "0.95: K-FAC's paper", float
    )
    factor_interval: Any = _setting(
        "factor_interval", "batches from one update of the factors to the next", "", int
    )
    inverse_interval: Any = _setting(
        "inverse_interval", "steps from one inverse, or root, to the next", "20: K-FAC's paper", int
    )
    statistics: Any = _setting("statistics", "of shampoo: a sum, or a moving average", "its paper")
    root: Any = _setting("root", "of shampoo: the p of its inverse p-th roots", "its paper", int)
    grafting: Any = _setting("grafting", "of shampoo: the rule that lends its update the length", "its paper")
    grafting_decay: Any = _setting(
        "grafting_decay", "of the rmsprop that lends shampoo its length", "", float
    )
    grafting_epsilon: Any = _setting("grafting_epsilon", "of the same rmsprop", "", float)
    # all examples at once
    activation_penalty: Any = _setting(
        "activation_penalty", "admm: weight gamma of 1/2 (a - relu(z))^2", _GUESS, float
    )
    pre_activation_penalty: Any = _setting(
        "pre_activation_penalty", "admm: weight beta of 1/2 (z - its value from below)^2", _GUESS, float
    )
    multiplier_step: Any = _setting(
        "multiplier_step", "step kappa of the multiplier of admm; 0 for block coordinate descent", "", float
    )
    last_loss: Any = _setting(
        "last_loss", "the loss that admm has at the output, whatever the network loss is"
    )
    warm_start: Any = _setting("warm_start", "epochs of admm before its multiplier moves", "", int)
    frozen_layers: Any = _option(
        None,
        "how many layers, counted from the input, keep their initial weights (default none)",
        int,
    )
    # how it is computed
    seed: int = _option(0, "of weights and batches (default 0)", int)
    backend: str = _option("numpy", "array library (default numpy)", choices=tuple(BACKENDS))
    dtype: str = _option("float32", "float32 (default) or float64", choices=checks.FLOATS)
    evaluate_steps: Any = _option(
        None,
        "steps from the beginning of the run, 1,2,5,10, after which the test set is evaluated too "
        "(default none)",
    )
    diagnostics: bool = _option(
        False, "record out-of-range targets, local losses and update angles, once an epoch (default no)", bool
    )


def as_json(config: Config) -> dict[str, Any]:
    """Return a Config as JSON values: infinity is spelled "inf", fields without a meaning are left out."""
    checks.instance("config", config, Config, "a Config, as config.resolve makes")
    values = {name: value for name, value in asdict(config).items() if value is not None}
    return {name: "inf" if value == inf else value for name, value in values.items()}


def from_json(values: Mapping[str, Any]) -> Config:
    """Return the Config that `as_json` wrote.

    Raises:
        ValueError: an unknown field.
    """
    checks.instance("values", values, Mapping, "a dict, as as_json makes")
    known = [f.name for f in fields(Config)]
    for name in values:
        checks.one_of("config field", name, known)
    fixed: dict[str, Any] = {name: inf if value == "inf" else value for name, value in values.items()}
    return Config(**fixed)
