"""Conventions: choices that ports often change without notice, each with its documented default.

A group of vectors states the conventions that its topic depends on; all others have their defaults. The first
value in a line is the default. A group never states the values after the `|` of a line. They exist so that
the diagnosis can imitate an implementation that uses them (`flags.py`).
"""

from dataclasses import dataclass

# layers with positions (images) or steps (sequences): a pass, the local problem, training
IMAGES = ("convolution", "convolution_local", "convolution_training")
SEQUENCES = ("recurrence", "recurrence_local", "recurrence_training")
WIRED = (*IMAGES, *SEQUENCES)
WIRED_LOCAL = tuple(topic for topic in WIRED if topic not in ("convolution", "recurrence"))
WIRED_TRAINING = ("convolution_training", "recurrence_training")
ORDERED = tuple(topic for topic in WIRED if topic not in WIRED_TRAINING)  # they return rows
PATCHES = ("rows", "adjoint", *IMAGES)

# relatives of LocoProp
DISPLACED = ("kronecker_target", "gauss_newton_target")
RULES = ("inverse_target", *DISPLACED)
FAMILY = ("codes", "memory", *RULES, "mirror", "admm")
# topics without extreme numbers, which Python's floats imitate
QUICK = (*WIRED, *FAMILY)

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
    _row("layout", "examples are rows", ("network", "target", *LOCAL, *WIRED, *FAMILY),
         "x is (B, d_in), W is (d_in, d_out), a_hat = x W + b"),
    _row("weights_used", "as given | transposed", ("network", "target", *LOCAL),
         "the forward pass multiplies by W"),
    _row("weights_returned", "as given | transposed", (*LOCAL, *WIRED),
         "the results have the same layout as the inputs"),
    _row("loss_reduction", "batch mean | batch sum; element mean", (*LOSS, *WIRED, "codes", *RULES),
         "the network loss is summed over the outputs and averaged over the batch"),
    _row("squared_error", "half | whole", (*LOSS, *WIRED, "codes", *RULES),
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
    _row("gradient_at", "pre-activation | post-activation", (*LOSS, *WIRED),
         "g is the derivative of the network loss with respect to the pre-activation a_hat"),
    _row("target_sign", "minus | plus", ("target", *LOCAL, *WIRED_LOCAL, *RULES),
         "the target moves in the direction of -g"),
    _row("squared_target_base", "a_hat | f(a_hat)", ("target", *LOCAL, *WIRED_LOCAL),
         "the target of S is a_hat - target_step g"),
    _row("matching_target", "f(a_hat) - step | through f", ("target", *LOCAL, *WIRED_LOCAL),
         "the target of M is f(a_hat) - target_step g"),
    _row("project_targets", "none; range | clipped", ("target", "training"),
         "range: targets of M are projected onto the closed range of f"),
    _row("local_reduction", "sum; mean | element mean", (*LOCAL, *WIRED_LOCAL),
         "the local loss is the sum, or the mean, over the batch"),
    _row("local_squared", "half | whole; mean square", ("first_step", "closed_form", *STEPPED),
         "the local loss of S is half the squared distance, so that its gradient is x^T (a_hat - y*)"),
    _row("local_derivative", "none | applied", ("first_step", *STEPPED, *WIRED_LOCAL),
         "the gradient of the matching loss is x^T (f(a_hat) - y*), without f'"),
    _row("bias", "included | left out; not applied; doubled; averaged", (*LOCAL, *WIRED_LOCAL),
         "the bias is an additional row of W, whose input is always 1"),
    _row("proximal", "as given | ignored; twice; half; without bias; one where none; weight decay",
         (*LOCAL, *WIRED_TRAINING),
         "the regularizer is |W - W0|^2 / (2 weight_step), bias included; weight_step inf means none"),
    _row("local_decay", "authors; constant | authors without floor; authors with floor 0.1; "
         "authors with floor 0.5; authors from one; authors by K - 1",
         (*STEPPED, *WIRED_TRAINING),
         "authors: the rate of the local step k = 0..K-1 is local_lr * max(1 - k/K, 0.25)"),
    _row("local_gradient", "at every step | frozen; accumulated", STEPPED,
         "every local step has the gradient at the weights that the step before has left"),
    _row("local_step_count", "K | K + 1; K - 1", STEPPED, "a local problem takes num_local_steps steps"),
    _row("local_rate_restored", "yes | no", ("training",),
         "every batch starts from local_lr again, whatever rate the last local step had"),
    _row("ridge", "1/weight_step | weight_step; weight_step in the dual",
         ("closed_form", "local_steps", "exact", "training"),
         "1/weight_step multiplies the pull to the weights of the start, and is added to the diagonal of the "
         "system, in the primal and in the dual form"),
    _row("covariance", "of the batch | running", ("training",),
         "S in closed form has x^T x of the present batch"),
    _row("target_step_used", "once | twice", ("target", *LOCAL), "target_step multiplies g once"),
    _row("method_used", "as given | exchanged", ("target", *LOCAL),
         "S has targets of pre-activations and the identity as local transfer, M has neither"),
    _row("tanh_integral", "log cosh | of sigmoid", ("integral", "matching_loss", *LOCAL),
         "the matching loss of a tanh layer has the integral log cosh a"),
    _row("output_layer", "own transfer | identity", ("training",),
         "the output layer of M has its own transfer in its local problem, as the other layers have"),
    _row("softmax_axis", "outputs | batch", ("output_loss", "network", "first_step", "training"),
         "softmax and its derivative act on the outputs of an example, not over the batch"),
    _row("momentum_form", "plain | averaged; rate in buffer; exchanged", ("optimizer", "local_steps"),
         "momentum and nesterov: c <- mu c + G; the rate multiplies what leaves the buffer"),
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
    _row("schedule_on", "rate | target step; nothing; rate of the batch before; rate and target step; "
         "product of the rates", ("training",),
         "the schedule multiplies the optimizer's rate"),
    _row("row_order", "position, example | example, position", ("rows", "adjoint", *ORDERED),
         "row p B + i of a layer belongs to position (or step) p of example i, both counted from 0"),
    _row("example_order", "as given | reversed", ("rows", "adjoint", "pooling", *WIRED),
         "a flat image is (channel, row, column), a flat sequence (step, number), the last index fastest"),
    _row("patch_order", "channel, row, column | row, column, channel; channel, column, row", PATCHES,
         "a row, and the rows of W, run through the channels, the rows and the columns of the kernel"),
    _row("kernel", "as given | flipped", PATCHES,
         "cross-correlation: the first row and column of the kernel meet the first ones of the patch"),
    _row("padding_place", "both sides | all at the end; before only", PATCHES,
         "padding zeros stand before and after the rows of an image, and likewise its columns"),
    _row("stride", "as given | ignored", ("pooling", *PATCHES),
         "windows begin stride numbers after each other"),
    _row("max_ties", "first | last; all; shared", ("pooling", *IMAGES),
         "the derivative of a maximum goes to the first of the largest numbers of a window, row by row"),
    _row("mean_pooling", "divided | not divided", ("pooling", *IMAGES),
         "the derivative of a mean is divided by the numbers of a window"),
    _row("flatten_order", "channels first | channels last", WIRED,
         "a dense layer above positions reads (channel, position), above steps (unit, step)"),
    _row("bias_row", "last | first", ("rows", *WIRED),
         "the input that is always 1 is the last one of a row, as the bias is the last row of W"),
    _row("mean_over", "examples | rows", WIRED_LOCAL,
         "where the local loss is a mean, it is divided by the number of examples, not of rows"),
    _row("recurrent_input", "[x, h] | [h, x]", SEQUENCES,
         "a row of a recurrent layer is the input x_t, then the state h_{t-1}; so are the rows of its W"),
    _row("initial_state", "as given | zeros", SEQUENCES,
         "the state before the first step is h0_m where it is given, else zeros"),
    _row("through_time", "total | last step; direct", SEQUENCES,
         "g_t is the total derivative by the pre-activation of step t, through all later steps"),
    _row("code_of", "pre-activation | post-activation", ("codes",),
         "a code stands before the transfer of its layer; the layer above reads f of it"),
    _row("code_order", "gauss-seidel | jacobi", ("codes",),
         "codes move from the top down, and each sees the moved code above it"),
    _row("code_coupling", "divides the network loss | multiplies the network loss; divides the losses "
         "between layers", ("codes",),
         "the network loss has the weight 1/coupling, the losses between layers have the weight 1"),
    _row("code_momentum", "nesterov | heavy ball", ("codes",),
         "nesterov: v <- momentum v + G, c <- c - code_lr (G + momentum v)"),
    _row("code_momentum_state", "fresh | kept over layers; kept over batches", ("codes",),
         "v starts from zero for every code of every batch"),
    _row("code_anchor", "as given | without gradient", ("codes",),
         "the gradient of a code has the term anchor (c - a_hat)"),
    _row("code_steps", "K | K - 1", ("codes",), "every code takes num_code_steps steps"),
    _row("code_reduction", "sum; mean", ("codes",),
         "sum: half the sum of squares over batch and units; mean: the mean of the squares, for the losses "
         "between layers, the anchor and the local losses of hidden layers; the network loss is the same"),
    _row("code_inputs", "moved; forward", ("codes",),
         "the local gradients have f of the moved codes as inputs, or the inputs of the forward pass"),
    _row("memory_ridge", "outside; inside | inside every batch; absent", ("memory",),
         "1/weight_step: added to the system of every batch, or inside the memory once, with the first "
         "batch"),
    _row("memory_decay", "of the past | of the new batch; average; ignored", ("memory",),
         "A <- decay A + x^T x, and C <- decay C + x^T y, before the batch is solved for"),
    _row("memory_of", "inputs and targets | inputs alone", ("memory",),
         "A = sum of x^T x and C = sum of x^T y are both kept"),
    _row("memory_moment", "x^T y | y^T x", ("memory",), "C is (d_in + 1, d_out)"),
    _row("memory_sweep", "from the first row | from the last row; all rows at once", ("memory",),
         "a sweep goes over the rows of W from the first to the bias, and each sees the new rows before it"),
    _row("correction", "difference; plain | before the inverse; at the top only", ("inverse_target",),
         "difference: y_hat below + psi(y*) - psi(y_hat); plain: psi(y*)"),
    _row("start", "penultimate; output", ("inverse_target",),
         "penultimate: y* of layer M-1 is y_hat - target_step dL/dy_hat, and that of layer M the label; "
         "output: y* of layer M is y_hat - target_step g"),
    _row("start_derivative", "by the post-activation | by the pre-activation", ("inverse_target",),
         "start penultimate takes the derivative of the network loss by y_hat, without f'"),
    _row("inverse_transfer", "of the layer below | of the layer itself; none", ("inverse_target",),
         "psi_m(y) is f of layer m-1, of y V_m + c_m"),
    _row("displacement", "of the pre-activation | of the post-activation", DISPLACED,
         "the target of M is f(a_hat - d), that of S is a_hat - d"),
    _row("kronecker_factor", "mean over examples | sum over examples; gradients of the mean loss; of the "
         "mean gradient", ("kronecker_target",),
         "G is the mean over the examples of the outer product of B g with itself"),
    _row("kronecker_damping", "added to G | not added; added to the inverse; split", ("kronecker_target",),
         "the damping is added to the diagonal of G as it is, before the inverse is taken"),
    _row("gauss_newton_damping", "as given | tau and 1 - tau exchanged; tau as lambda; without 1 + lambda",
         ("gauss_newton_target",), "d = target_step J^T ((1 - tau) J J^T + tau I)^-1 r"),
    _row("gauss_newton_error", "of every example | of the mean loss", ("gauss_newton_target",),
         "r is B times g of the last layer"),
    _row("gauss_newton_jacobian", "of every example | averaged; by the post-activation",
         ("gauss_newton_target",), "J is the derivative of the last pre-activation by that of the layer"),
    _row("exponent_sign", "minus | plus", ("mirror",), "the dual weights move against the gradient"),
    _row("eg_halves", "both | the positive one", ("mirror",),
         "both halves of eg+- move: w+ <- w+ exp(-s g), w- <- w- exp(s g)"),
    _row("eg_start", "product | positive and negative part", ("mirror",),
         "eg+- starts from the w+ and w- with w+ - w- = w and w+ w- = beta^2/4"),
    _row("eg_factor", "exp | 1 - s g", ("mirror",), "a weight is multiplied by exp(-s g)"),
    _row("eg_normalized", "as given | exchanged", ("mirror",),
         "only eg-normalized divides by the sum of the weights of a unit"),
    _row("eg_sum", "of every unit | over all units", ("mirror",),
         "eg-normalized divides every column by its own sum"),
    _row("norm_order", "q, p | p, q", ("mirror",),
         "p-norm: the dual weights are the gradient of half the squared q-norm, 1/p + 1/q = 1"),
    _row("admm_branch", "cheaper | sign of p", ("admm",),
         "hidden z: the cheaper of the best z >= 0 and the best z <= 0, whatever the sign of the prediction"),
    _row("admm_bias", "included | forgotten in the activation; left out of the weights", ("admm",),
         "the prediction is a W + b: b is subtracted from z_above, and the weights are solved for with b"),
    _row("admm_transfer", "relu | forgotten", ("admm",), "the block of a sees relu(z)"),
    _row("admm_penalties", "as given | exchanged", ("admm",),
         "activation_penalty weighs the distance of a and relu(z), penalty that of z and the prediction"),
    _row("admm_penalty", "half | whole", ("admm",),
         "the penalty of z is penalty/2 times the squared distance; Taylor et al. have no 1/2"),
    _row("admm_multiplier_step", "whole | half", ("admm",),
         "the multiplier moves by multiplier_step times penalty times (z - prediction)"),
    _row("admm_multiplier_sign", "plus | minus", ("admm",),
         "the Lagrangian has the term + multiplier z, so that the multiplier moves along z - prediction"),
    _row("admm_labels", "0 and 1 | -1 and 1", ("admm",),
         "hinge: max(0, 1 - z) for the label 1, and max(0, z) for the label 0"),
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
