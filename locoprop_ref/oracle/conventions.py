"""Conventions: the choices that ports change silently, each with its documented default.

A group of vectors states the conventions that its topic depends on; every other one has its default. The
first value listed is the default. Values after the `|` of a line are never stated by a group: they exist so
that the diagnosis can imitate an implementation that makes them (`flags.py`).
"""

from dataclasses import dataclass

LOSS = ("output_loss", "network", "first_step", "training")
LOCAL = ("first_step", "closed_form", "local_steps", "exact", "training")
STEPPED = ("local_steps", "training")


@dataclass(frozen=True)
class Convention:
    """A choice: its name, the values a group may state, those it may not, its topics and its meaning."""

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
         "results have the layout of the inputs"),
    _row("loss_reduction", "batch mean | batch sum; element mean", LOSS,
         "network loss: sum over outputs, mean over the batch"),
    _row("squared_error", "half | whole", LOSS,
         "squared error is half the squared distance"),
    _row("derivative_at_kink", "left; right", ("transfer", "network", "first_step", "training"),
         "f' at a kink: left is relu 0, leaky_relu slope, elu alpha; right is 1"),
    _row("softmax_vjp", "full | diagonal", ("transfer", "output_loss", "network", "first_step", "training"),
         "the derivative of softmax is a full matrix"),
    _row("integral_constant", "natural | zero at zero", ("integral",),
         "constant of F: tanh log cosh a, sigmoid log(1 + e^a), softplus -Li2(-e^a), softmax log sum e^a; "
         "the others are 0 at 0"),
    _row("matching_arguments", "(a_hat, a) | (a, a_hat)", ("matching_loss",),
         "D_F(a_hat, a) = F(a_hat) - F(a) - f(a)(a_hat - a)"),
    _row("gradient_at", "pre-activation | post-activation", LOSS,
         "g is the derivative of the network loss by the pre-activation a_hat"),
    _row("target_sign", "minus | plus", ("target", *LOCAL),
         "the target moves against g"),
    _row("squared_target_base", "a_hat | f(a_hat)", ("target", *LOCAL),
         "the target of S is a_hat - target_step g"),
    _row("matching_target", "f(a_hat) - step | through f", ("target", *LOCAL),
         "the target of M is f(a_hat) - target_step g"),
    _row("project_targets", "none; range", ("target", "training"),
         "range: targets of M are moved to the nearest point of the closed range of f"),
    _row("local_reduction", "sum; mean", LOCAL,
         "the local loss is the sum, or the mean, over the batch"),
    _row("local_derivative", "none | applied", ("first_step", *STEPPED),
         "the gradient of the matching loss is x^T (f(a_hat) - y*), without f'"),
    _row("bias", "included | left out; not applied", LOCAL,
         "the bias is one more row of W, with an input that is always 1"),
    _row("proximal", "as given | ignored; twice; without bias; one where none", LOCAL,
         "the regularizer is |W - W0|^2 / (2 weight_step), bias included; weight_step inf is none"),
    _row("local_decay", "authors; constant | authors without floor; authors from one", STEPPED,
         "authors: local_lr * max(1 - k/K, 0.25) for the local step k = 0..K-1"),
    _row("mean_square_start", "ones; zeros", ("optimizer", *STEPPED),
         "what the mean square of rmsprop starts from"),
    _row("epsilon_place", "inside; outside; none", ("optimizer", *STEPPED),
         "inside: sqrt(v + epsilon); outside: sqrt(v) + epsilon"),
    _row("rate_place", "in buffer; outside", ("optimizer", *STEPPED),
         "rmsprop's rate multiplies what enters the momentum buffer, or what leaves it"),
    _row("accumulator_start", "given; zeros", ("optimizer",),
         "what adagrad's accumulator starts from: initial_accumulator, or zeros"),
    _row("adam_epsilon", "v; v_hat", ("optimizer",),
         "adam's epsilon is added to sqrt(v), or to sqrt(v_hat)"),
    _row("bias_correction", "yes | no", ("optimizer",),
         "adam corrects its averages for their start at zero"),
    _row("local_state", "keep; reset", ("training",),
         "the state of the local optimizers is kept from batch to batch, or starts afresh"),
    _row("target_order", "jacobi; gauss-seidel | gauss-seidel with cap", ("training",),
         "jacobi: all targets and inputs before any weight changes; gauss-seidel: from the bottom up, each "
         "layer sees the moved layers below it, with g from the old forward pass"),
    _row("upper_weights", "before g | moved before g", ("training",),
         "g of every layer is taken with the weights from before the step"),
    _row("schedule_on", "rate | target step", ("training",),
         "the schedule multiplies the optimizer's rate"),
)
# fmt: on
BY_NAME = {row.name: row for row in CONVENTIONS}
DEFAULTS = {row.name: row.values[0] for row in CONVENTIONS}


def choices(stated: dict[str, str]) -> dict[str, str]:
    """Return a value for every convention: what a group states, defaults elsewhere.

    >>> choices({"local_decay": "constant"})["local_decay"]
    'constant'

    Raises:
        ValueError: a convention or a value that does not exist.
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
    """Return the conventions that a group of a topic states: the topic's own, with these differences."""
    own = {row.name: row.values[0] for row in CONVENTIONS if topic in row.topics}
    return own | (differing or {})
