"""Conventions: choices that ports often change without notice, each with its documented default.

A group of vectors states the conventions that its topic depends on; all others have their defaults. The first
value in a line is the default. A group never states the values after the `|` of a line. They exist so that
the diagnosis can imitate an implementation that uses them (`flags.py`).
"""

from dataclasses import dataclass

LOSS = ("output_loss", "network", "first_step", "training")
LOCAL = ("first_step", "closed_form", "local_steps", "exact", "training")
STEPPED = ("local_steps", "training")


@dataclass(frozen=True)
class Convention:
    """A choice: name, values that a group may state, values that it may not state, topics, and meaning."""

    name: str
    values: tuple[str, ...]
    deviations: tuple[str, ...]
    topics: tuple[str, ...]
    meaning: str


def _row(name: str, values: str, topics: tuple[str, ...], meaning: str) -> Convention:
    stated, _, deviations = values.partition("|")

    def split(text: str) -> tuple[str, ...]:
        return tuple(value.strip() for value in text.split(";") if value.strip())

    return Convention(name, split(stated), split(deviations), topics, meaning)


# fmt: off
CONVENTIONS = (
    _row("layout", "examples are rows", ("network", "target", *LOCAL),
         "x is (B, d_in), W is (d_in, d_out), a_hat = x W + b"),
    _row("weights_used", "as given | transposed", ("network", "target", *LOCAL),
         "the forward pass multiplies by W"),
    _row("weights_returned", "as given | transposed", LOCAL,
         "the results have the same layout as the inputs"),
    _row("loss_reduction", "batch mean | batch sum; element mean", LOSS,
         "the network loss is summed over the outputs and averaged over the batch"),
    _row("squared_error", "half | whole", LOSS,
         "the squared error is half the squared distance"),
    _row("derivative_at_kink", "left; right", ("transfer", "network", "first_step", "training"),
         "f' at a kink: left is 0 for relu, slope for leaky_relu, alpha for elu; right is 1"),
    _row("softmax_vjp", "full | diagonal", ("transfer", "output_loss", "network", "first_step", "training"),
         "the derivative of softmax is a full matrix"),
    _row("integral_constant", "natural | zero at zero", ("integral",),
         "constant of F: tanh log cosh a, sigmoid log(1 + e^a), softplus -Li2(-e^a), softmax log sum e^a; "
         "all others are 0 at 0"),
    _row("matching_arguments", "(a_hat, a) | (a, a_hat)", ("matching_loss",),
         "D_F(a_hat, a) = F(a_hat) - F(a) - f(a)(a_hat - a)"),
    _row("gradient_at", "pre-activation | post-activation", LOSS,
         "g is the derivative of the network loss with respect to the pre-activation a_hat"),
    _row("target_sign", "minus | plus", ("target", *LOCAL),
         "the target moves in the direction of -g"),
    _row("squared_target_base", "a_hat | f(a_hat)", ("target", *LOCAL),
         "the target of S is a_hat - target_step g"),
    _row("matching_target", "f(a_hat) - step | through f", ("target", *LOCAL),
         "the target of M is f(a_hat) - target_step g"),
    _row("project_targets", "none; range", ("target", "training"),
         "range: targets of M are projected onto the closed range of f"),
    _row("local_reduction", "sum; mean", LOCAL,
         "the local loss is the sum, or the mean, over the batch"),
    _row("local_derivative", "none | applied", ("first_step", *STEPPED),
         "the gradient of the matching loss is x^T (f(a_hat) - y*), without f'"),
    _row("bias", "included | left out; not applied", LOCAL,
         "the bias is an additional row of W, whose input is always 1"),
    _row("proximal", "as given | ignored; twice; without bias; one where none", LOCAL,
         "the regularizer is |W - W0|^2 / (2 weight_step), bias included; weight_step inf means none"),
    _row("local_decay", "authors; constant | authors without floor; authors from one", STEPPED,
         "authors: the rate of the local step k = 0..K-1 is local_lr * max(1 - k/K, 0.25)"),
    _row("mean_square_start", "ones; zeros", ("optimizer", *STEPPED),
         "the initial value of rmsprop's mean square"),
    _row("epsilon_place", "inside; outside; none", ("optimizer", *STEPPED),
         "inside: sqrt(v + epsilon); outside: sqrt(v) + epsilon"),
    _row("rate_place", "in buffer; outside", ("optimizer", *STEPPED),
         "rmsprop's rate multiplies what enters the momentum buffer, or the buffer itself"),
    _row("accumulator_start", "given; zeros", ("optimizer",),
         "the initial value of adagrad's accumulator: initial_accumulator, or zeros"),
    _row("adam_epsilon", "v; v_hat", ("optimizer",),
         "adam's epsilon is added to sqrt(v), or to sqrt(v_hat)"),
    _row("bias_correction", "yes | no", ("optimizer",),
         "adam corrects its averages for their initial value of zero"),
    _row("local_state", "keep; reset", ("training",),
         "the state of the local optimizers is kept from batch to batch, or reset at every batch"),
    _row("target_order", "jacobi; gauss-seidel | gauss-seidel with cap", ("training",),
         "jacobi: all targets and inputs are computed before any weight changes; gauss-seidel: from the "
         "bottom up, each layer uses the updated layers below it, with g from the old forward pass"),
    _row("upper_weights", "before g | moved before g", ("training",),
         "g of every layer is computed with the weights before the step"),
    _row("schedule_on", "rate | target step", ("training",),
         "the schedule multiplies the optimizer's rate"),
)
# fmt: on
BY_NAME = {row.name: row for row in CONVENTIONS}
DEFAULTS = {row.name: row.values[0] for row in CONVENTIONS}


def choices(stated: dict[str, str]) -> dict[str, str]:
    """Return a value for every convention: the stated ones, and the defaults of all others.

    >>> choices({"local_decay": "constant"})["local_decay"]
    'constant'

    Raises:
        ValueError: a convention or a value does not exist.
    """
    for name, value in stated.items():
        if name == "dialect":
            continue
        if name not in BY_NAME:
            raise ValueError(f"conventions must be among {', '.join(BY_NAME)}, got {name!r}")
        row = BY_NAME[name]
        if value not in row.values + row.deviations:
            raise ValueError(f"convention {name} must be one of {', '.join(row.values)}, got {value!r}")
    return DEFAULTS | {name: value for name, value in stated.items() if name != "dialect"}


def stated_for(topic: str, differing: dict[str, str] | None = None) -> dict[str, str]:
    """Return the conventions that a group of this topic states, with these differences from the defaults."""
    own = {row.name: row.values[0] for row in CONVENTIONS if topic in row.topics}
    return own | (differing or {})
