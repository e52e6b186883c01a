"""Flags: the deviations that the diagnosis knows, each with a name, a kind and an effect (see `flag.py`)."""

from typing import Any

from locoprop_ref.oracle import family_flags, port_flags, positions_flags
from locoprop_ref.oracle.flag import BUG, PROPERTY, Flag
from locoprop_ref.oracle.flag import bug as _bug
from locoprop_ref.oracle.flag import variant as _variant

# fmt: off
_TF1 = {"mean_square_start": "ones", "epsilon_place": "inside", "rate_place": "in buffer"}
_TORCH = {"mean_square_start": "zeros", "epsilon_place": "outside", "rate_place": "outside"}
_OPTAX = {"mean_square_start": "zeros", "epsilon_place": "inside", "rate_place": "in buffer"}

FLAGS = (
    # the local problem
    _variant("LocalMean", {"local_reduction": "mean"},
             "the local gradient is averaged over the batch",
             "Local steps are B times smaller than the authors'; local_lr or weight_step must make up."),
    _variant("LocalSum", {"local_reduction": "sum"},
             "the local gradient is summed over the batch",
             "The authors' convention, where the group asks for the mean."),
    _bug("LocalDerivativeApplied", {"local_derivative": "applied"},
         "the local gradient of M is multiplied by f' (the squared loss on post-activations)",
         "f' acts twice: the gradient of the matching loss is x^T (f(a_hat) - y*), without f'."),
    _bug("GradientAtPostActivation", {"gradient_at": "post-activation"},
         "g is the derivative by the post-activation, so that f' does not act at all",
         "Targets and gradients lack f' of their own layer, and below it the chain rule is broken."),
    _bug("TargetFromPostActivation", {"squared_target_base": "f(a_hat)"},
         "the target of S starts from the post-activation f(a_hat) in place of a_hat",
         "The first local gradient is no longer target_step times the gradient of the network loss."),
    _bug("TargetThroughTransfer", {"matching_target": "through f"},
         "the target of M is f(a_hat - target_step g) in place of f(a_hat) - target_step g",
         "Always in range, but another method: f' acts twice on the first step."),
    _bug("TargetSignFlipped", {"target_sign": "plus"},
         "the target moves along g in place of against it",
         "Training climbs the loss."),
    _variant("TargetsProjected", {"project_targets": "range"},
             "targets of M are projected onto the closed range of f",
             "Differs only where a target is out of range."),
    _variant("TargetsNotProjected", {"project_targets": "none"},
             "targets of M are not projected onto the range of f",
             "Differs only where a target is out of range."),
    # the regularizer
    _variant("ProximalTermAbsent", {"proximal": "ignored"},
             "the proximal term is left out (weight_step read as inf)",
             "As in the authors' code, which keeps the inner steps few instead."),
    _variant("ProximalTermPresent", {"proximal": "one where none"},
             "a proximal term with weight_step 1 is present where the group has none",
             "The paper's regularizer; weight_step inf switches it off."),
    _bug("ProximalTermDoubled", {"proximal": "twice"},
         "the regularizer is |W - W0|^2 / weight_step, without the 2",
         "weight_step acts as half of what was asked for."),
    _variant("ProximalWithoutBias", {"proximal": "without bias"},
             "the proximal term leaves out the bias",
             "The bias moves more freely than the weights."),
    # the bias and the layout
    _bug("BiasLeftOut", {"bias": "left out"},
         "the bias is left out of the local problem",
         "The bias never learns, and the weights learn as if it were right."),
    _bug("BiasNotApplied", {"bias": "not applied"},
         "the update of the bias is computed but not applied",
         "In closed form the weights count on a change of the bias that does not come."),
    _bug("WeightsTransposed", {"weights_used": "transposed"},
         "W is read transposed (a_hat = x W^T + b)",
         "Works only where W is square; W is (d_in, d_out) here, PyTorch keeps (d_out, d_in)."),
    _bug("ResultTransposed", {"weights_returned": "transposed"},
         "W is returned transposed",
         "Results have the layout of the inputs, W is (d_in, d_out)."),
    # the inner loop
    _variant("LocalRateConstant", {"local_decay": "constant"},
             "the local learning rate is constant within a batch",
             "Local steps are larger than with the authors' decay max(1 - k/K, 0.25)."),
    _variant("LocalRateDecays", {"local_decay": "authors"},
             "the local learning rate decays within a batch as max(1 - k/K, 0.25)",
             "The authors' convention, where the group asks for a constant rate."),
    _bug("LocalDecayWithoutFloor", {"local_decay": "authors without floor"},
         "the local decay lacks its floor of 0.25",
         "The last local steps are too small.", local_decay="authors"),
    _bug("LocalDecayFromOne", {"local_decay": "authors from one"},
         "the local decay counts its steps from 1 in place of 0",
         "Every local step is too small.", local_decay="authors"),
    _variant("LocalStateReset", {"local_state": "reset"},
             "the state of the local optimizers is reset at every batch",
             "Mean squares and momenta never warm up."),
    _variant("LocalStateKept", {"local_state": "keep"},
             "the state of the local optimizers is kept from batch to batch",
             "The authors' convention, where the group asks for a reset."),
    # optimizer dialects
    _variant("MeanSquareFromZeros", {"mean_square_start": "zeros"},
             "rmsprop's mean square starts from zeros",
             "As in PyTorch and optax; the first steps are larger."),
    _variant("MeanSquareFromOnes", {"mean_square_start": "ones"},
             "rmsprop's mean square starts from ones", "As in TensorFlow 1; the first steps are smaller."),
    _variant("EpsilonOutside", {"epsilon_place": "outside"},
             "epsilon is added outside the square root", "As in PyTorch."),
    _variant("EpsilonInside", {"epsilon_place": "inside"},
             "epsilon is added inside the square root", "As in TensorFlow 1 and optax."),
    _variant("RateOutside", {"rate_place": "outside"},
             "the rate multiplies the momentum buffer",
             "As in PyTorch; differs where the rate changes from step to step."),
    _variant("RateInBuffer", {"rate_place": "in buffer"},
             "the rate multiplies what enters the momentum buffer",
             "As in TensorFlow 1 and optax; differs where the rate changes from step to step."),
    _variant("DialectTF1", _TF1, "rmsprop is TensorFlow 1's",
             "Mean square from ones, epsilon inside, rate in buffer.", only_where="mean_square_start"),
    _variant("DialectTorch", _TORCH, "rmsprop is PyTorch's",
             "Mean square from zeros, epsilon and rate outside.", only_where="mean_square_start"),
    _variant("DialectOptax", _OPTAX, "rmsprop is optax's default",
             "Mean square from zeros, epsilon inside, rate in buffer.", only_where="mean_square_start"),
    _variant("AccumulatorFromZeros", {"accumulator_start": "zeros", "epsilon_place": "outside"},
             "adagrad is PyTorch's: from zeros, with epsilon outside the root",
             "Larger first steps.", accumulator_start="given"),
    _variant("AccumulatorGiven", {"accumulator_start": "given", "epsilon_place": "none"},
             "adagrad is TensorFlow 1's: from initial_accumulator, without epsilon",
             "Smaller first steps.", accumulator_start="zeros"),
    _variant("AdamEpsilonAgainstVHat", {"adam_epsilon": "v_hat"},
             "adam's epsilon is added to sqrt(v_hat)", "As in PyTorch (Algorithm 1 of the Adam paper)."),
    _variant("AdamEpsilonAgainstV", {"adam_epsilon": "v"},
             "adam's epsilon is added to sqrt(v)",
             "As in TensorFlow 1 (before section 2.1 of the Adam paper)."),
    _bug("AdamWithoutCorrection", {"bias_correction": "no"},
         "adam's averages are not corrected for their start at zero", "The first steps have the wrong size."),
    # whole training steps
    _variant("TargetsGaussSeidel", {"target_order": "gauss-seidel"},
             "targets are corrected layer by layer, each layer seeing the moved layers below it",
             "Layers are no longer independent."),
    _variant("TargetsGaussSeidelCapped", {"target_order": "gauss-seidel with cap"},
             "the input of each layer is moved, by at most 0.1 sqrt(d) in norm, towards what the moved layer "
             "below it puts out",
             "One thing that the PyPI package locoprop 0.1.0 does; layers are no longer independent."),
    _variant("TargetsJacobi", {"target_order": "jacobi"},
             "all targets and inputs are computed before any weight changes",
             "The method itself, where the group asks for gauss-seidel."),
    _bug("UpperWeightsMovedFirst", {"upper_weights": "moved before g"},
         "weights of the upper layer are updated before g of the layer below is taken",
         "g mixes old activations with new weights."),
    _bug("ScheduleOnTargetStep", {"schedule_on": "target step"},
         "the schedule multiplies target_step in place of the optimizer's rate",
         "Adaptive local optimizers hide the schedule almost entirely."),
    # losses and transfers
    _variant("LossBatchSum", {"loss_reduction": "batch sum"},
             "the network loss is summed over the batch", "g is B times larger, as if target_step were."),
    _variant("LossElementMean", {"loss_reduction": "element mean"},
             "the network loss is averaged over batch and outputs",
             "g is smaller by the number of outputs; PyTorch's default reduction."),
    _variant("SquaredErrorWhole", {"squared_error": "whole"},
             "squared error lacks its factor 1/2", "g is twice as large."),
    _variant("KinkFromRight", {"derivative_at_kink": "right"},
             "the derivative at a kink is taken from the right",
             "JAX's leaky_relu; matters at exact zeros only."),
    _variant("KinkFromLeft", {"derivative_at_kink": "left"},
             "the derivative at a kink is taken from the left",
             "TensorFlow's and PyTorch's leaky_relu; matters at exact zeros only."),
    _bug("SoftmaxDiagonal", {"softmax_vjp": "diagonal"},
         "the derivative of softmax is taken as its diagonal p (1 - p)",
         "Rows of g no longer sum to 0."),
    _variant("IntegralZeroAtZero", {"integral_constant": "zero at zero"},
             "F is shifted to be 0 at 0", "Matching losses do not change."),
    _bug("MatchingLossSwapped", {"matching_arguments": "(a, a_hat)"},
         "the arguments of the matching loss are swapped", "Not convex in the weights."),
    *port_flags.FLAGS,
    *positions_flags.FLAGS,
    *family_flags.FLAGS,
)
# fmt: on
BY_FLAG = {flag.name: flag for flag in FLAGS}

# No convention is changed, but the arithmetic has fewer bits.
_ARITHMETIC = (
    Flag(
        "Float32Arithmetic",
        BUG,
        {},
        "the arithmetic, or part of it, is done in float32",
        "Half of the digits are lost; check with --dtype float32 if that is what you want. Look for arrays "
        "that are made without a dtype.",
    ),
    Flag(
        "TF32Products",
        BUG,
        {},
        "products of matrices round their inputs to TF32 (10 bits), as a GPU does by its setting",
        "Three digits are left. Set torch.backends.cuda.matmul.allow_tf32 = False (and cudnn.allow_tf32 for "
        'convolutions), or jax_default_matmul_precision to "highest", and check again.',
    ),
    Flag(
        "Float16Arithmetic",
        BUG,
        {},
        "the arithmetic is done in float16",
        "Three digits are left, and numbers below 6e-8 are lost. Look for autocast, or for half().",
    ),
    Flag(
        "BFloat16Arithmetic",
        BUG,
        {},
        "the arithmetic is done in bfloat16",
        "Two digits are left. Look for autocast, or for a default dtype of bfloat16.",
    ),
)
ARITHMETIC = {flag.name: flag for flag in _ARITHMETIC}
FLOAT32 = ARITHMETIC["Float32Arithmetic"]

# Properties of cases, for the reader.
PROPERTIES = {
    "Extreme": "Arguments where careless formulas overflow, underflow or cancel.",
    "Kink": "Arguments at a kink of the transfer function.",
    "OutOfRange": "Some targets lie outside the closed range of the transfer function.",
    "IllConditioned": "X^T X has eigenvalues of very different size.",
    "Gentle": "weight_step times the largest eigenvalue of X^T X (memory: of A) is below 1 in every layer.",
    "Ties": "Some windows have several largest numbers.",
    "EqualWidths": "Hidden layers have the same width, so that a buffer of one fits another.",
    "Square": "W is square, so that a transposed W is not found by its shape.",
}


def notes(names: Any) -> dict[str, dict[str, str]]:
    """Return the explanation of each flag in the form that a file of vectors contains."""
    result = {}
    for name in sorted(names):
        if name in PROPERTIES:
            result[name] = {"kind": PROPERTY, "description": PROPERTIES[name]}
        else:
            flag = BY_FLAG[name]
            description = flag.when[0].upper() + flag.when[1:] + "."
            result[name] = {"kind": flag.kind, "description": description, "effect": flag.effect}
    return result
