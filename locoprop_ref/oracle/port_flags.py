"""Flags of whole ports and their inner loops; each effect says where to look, and how to mend it."""

from locoprop_ref.oracle.flag import bug, variant

STEPPED = ("local_steps", "training")
LOCAL = ("first_step", "closed_form", "local_steps", "exact", "training")
# what the PyPI package locoprop 0.1.0 does otherwise, all at once
PYPI = {
    "local_reduction": "mean", "target_order": "gauss-seidel with cap", "mean_square_start": "zeros",
    "epsilon_place": "outside", "rate_place": "outside", "local_state": "keep", "local_decay": "authors",
    "schedule_on": "rate", "proximal": "ignored", "project_targets": "none",
}  # fmt: skip

# fmt: off
FLAGS = (
    # targets and local losses
    bug("OutputAsLogits", {"output_layer": "identity"},
        "the output layer of M is treated as logits, with a squared local loss",
        "The output layer is trained by S. Look at the last layer, which often has no activation in PyTorch; "
        "give its local problem the transfer that belongs to the network loss.",
        topics=("training",)),
    bug("TargetStepTwice", {"target_step_used": "twice"},
        "target_step is applied twice",
        "Targets are target_step times too far. Look where g is made; multiply by target_step in the target "
        "alone.", topics=("target", *LOCAL)),
    bug("MethodsExchanged", {"method_used": "exchanged"},
        "S and M are exchanged",
        "Each method does the steps of the other. Look at the condition that tells them apart; S has the "
        "pre-activation and a squared loss.", topics=("target", *STEPPED)),
    bug("TargetsClipped", {"project_targets": "clipped"},
        "every number of a softmax target is clipped to [0, 1]",
        "Rows no longer sum to 1. Look at the clamp; without project_targets leave targets where they are, "
        "and with it take the nearest point of the simplex.", topics=("target",)),
    bug("TanhIntegralOfSigmoid", {"tanh_integral": "of sigmoid"},
        "the matching loss of a tanh layer has the integral of sigmoid, log(1 + e^a)",
        "The local gradient has sigmoid in place of tanh (an early version of the PyPI package did this). "
        "Look at the table of integrals; tanh has log cosh a.",
        topics=("integral", "matching_loss", *LOCAL)),
    # the size of the local loss
    bug("LocalElementMean", {"local_reduction": "element mean"},
        "the local gradient is averaged over the batch and the outputs",
        "Steps of a layer depend on its width. Look at reduction=\"mean\" of PyTorch's losses; sum over the "
        "outputs, and sum or average over the batch as the group says.", topics=LOCAL),
    # in the first step a doubled target_step looks the same, and in closed form a doubled weight_step
    bug("LocalSquaredWhole", {"local_squared": "whole"},
        "the local gradient of S is doubled, as by a squared local loss without its factor 1/2",
        "The gradient of M is not. Look at the squared distance; the gradient is x^T (a_hat - y*).",
        topics=STEPPED),
    bug("LocalMseLoss", {"local_squared": "mean square"},
        "the local loss of S is the mean of the squares over batch and outputs, without 1/2",
        "The default of torch.nn.functional.mse_loss: the gradient has the factor 2/(B d_out), which "
        "depends on the width. Take 0.5 * ((a_hat - y) ** 2).sum().",
        topics=("first_step", "closed_form", *STEPPED)),
    # the regularizer and closed forms
    bug("ProximalAsWeightDecay", {"proximal": "weight decay"},
        "the proximal term is replaced by weight decay, |W|^2 / (2 weight_step)",
        "Weights are pulled to 0 in place of where they were. Look at weight_decay of the optimizer; keep a "
        "copy of the weights of the start and subtract it.", topics=LOCAL),
    bug("ProximalTermHalved", {"proximal": "half"},
        "the regularizer is |W - W0|^2 / (4 weight_step)",
        "weight_step acts as twice of what was asked for. Look at the factor of the regularizer; in closed "
        "form also at the squared distance, which has the factor 1/2.",
        topics=("closed_form", "local_steps", "exact", "training")),
    bug("RidgeInverted", {"ridge": "weight_step"},
        "weight_step stands where 1/weight_step belongs",
        "Small steps become long ones. Look at what is added to the diagonal, or at the factor of W - W0 in "
        "the gradient; it is 1/weight_step.", topics=("closed_form", "local_steps", "exact", "training")),
    bug("DualRidgeInverted", {"ridge": "weight_step in the dual"},
        "in the dual form weight_step stands where 1/weight_step belongs",
        "Wrong only where there are fewer examples than inputs. Look at the system of x x^T; 1/weight_step "
        "is added to its diagonal, too.", topics=("closed_form", "training")),
    bug("CovarianceRunning", {"covariance": "running"},
        "x^T x is added up over all batches, as in FOOF's running covariance",
        "The first batch is right, later steps are too short. Look where x^T x is kept; S has that of the "
        "present batch alone.", topics=("training",)),
    bug("BiasGradientDoubled", {"bias": "doubled"},
        "the gradient of the bias is doubled",
        "Biases move too far. Look whether the bias is in x (as a column of ones) and is added once more, "
        "or whether its gradient is accumulated twice.", topics=LOCAL),
    bug("BiasGradientAveraged", {"bias": "averaged"},
        "the gradient of the bias is averaged over the batch, that of the weights is not",
        "Biases move B times too little. Look at mean in place of sum over the batch for the bias.",
        topics=LOCAL),
    # the inner loop
    bug("LocalDecayByKMinusOne", {"local_decay": "authors by K - 1"},
        "the local decay divides by K - 1 in place of K",
        "Every local step but the first is too small. Look at the decay (linspace divides by K - 1); it "
        "is max(1 - k/K, 0.25), k = 0..K-1.", local_decay="authors", topics=STEPPED),
    bug("LocalDecayFloorTenth", {"local_decay": "authors with floor 0.1"},
        "the local decay has the floor 0.1 in place of 0.25",
        "The last local steps are too small. Look at the decay; it is max(1 - k/K, 0.25), k = 0..K-1.",
        local_decay="authors", topics=STEPPED),
    bug("LocalDecayFloorHalf", {"local_decay": "authors with floor 0.5"},
        "the local decay has the floor 0.5 in place of 0.25",
        "The last local steps are too large. Look at the decay; it is max(1 - k/K, 0.25), k = 0..K-1.",
        local_decay="authors", topics=STEPPED),
    bug("LocalGradientFrozen", {"local_gradient": "frozen"},
        "all local steps use the gradient of the first one",
        "K steps are one long step. Look whether the pre-activation is computed inside the loop, from the "
        "moved weights; and whether the target is not, which must stay where it was before the first step.",
        topics=STEPPED),
    bug("LocalGradientAccumulated", {"local_gradient": "accumulated"},
        "the gradients of all steps so far are added up",
        "As without optimizer.zero_grad() in PyTorch. Look at the lines before the gradient is taken; each "
        "step has the gradient of its own weights alone.", topics=STEPPED),
    bug("LocalStepsOneMore", {"local_step_count": "K + 1"},
        "every problem takes one step more than K",
        "Look at the range of the loop over the local steps, k = 0..K-1.", topics=STEPPED),
    bug("LocalStepsOneLess", {"local_step_count": "K - 1"},
        "every problem takes one step less than K",
        "Look at the range of the loop over the local steps, k = 0..K-1.", topics=STEPPED),
    bug("LocalRateNotRestored", {"local_rate_restored": "no"},
        "the learning rate of the optimizer is not restored after a batch",
        "Each batch starts with the rate at which the last one ended, so that learning stops. Look at "
        "the line that sets the rate; compute it from local_lr, not from the rate of the optimizer.",
        local_decay="authors", topics=("training",)),
    # the schedule
    bug("ScheduleIgnored", {"schedule_on": "nothing"},
        "the schedule is ignored",
        "Every batch has the rate 1. Look where the rate of the local steps is set; it is local_lr times "
        "the rate of the batch times the decay.", topics=("training",)),
    bug("ScheduleLate", {"schedule_on": "rate of the batch before"},
        "the schedule comes a batch late",
        "Every batch but the first has the rate of the one before. Look at the order of the scheduler's step "
        "and the optimizer's; batch t has rates[t].", topics=("training",)),
    bug("ScheduleAccumulated", {"schedule_on": "product of the rates"},
        "the rates of the schedule multiply up from batch to batch",
        "Every batch is slowed by all rates before its own. Look for a line that multiplies the rate of the "
        "optimizer in place; set it to local_lr times the rate of the batch.", topics=("training",)),
    bug("ScheduleOnBoth", {"schedule_on": "rate and target step"},
        "the schedule multiplies target_step as well as the optimizer's rate",
        "With gradient descent the schedule acts squared. Look at the target; target_step is constant.",
        topics=("training",)),
    # optimizers
    variant("MomentumAveraged", {"momentum_form": "averaged"},
            "the momentum buffer is an average, c = mu c + (1 - mu) G",
            "Steps are shorter by 1 - mu (PyTorch's dampening). Look at the buffer; here it is mu c + G.",
            topics=("optimizer", "local_steps")),
    variant("MomentumRateInBuffer", {"momentum_form": "rate in buffer"},
            "the rate multiplies what enters the momentum buffer of gradient descent",
            "As in Keras; differs where the rate changes from step to step. Look at the buffer; here it has "
            "no rate.", topics=("optimizer", "local_steps")),
    bug("NesterovExchanged", {"momentum_form": "exchanged"},
        "heavy ball and Nesterov's momentum are exchanged",
        "Look at the flag nesterov of the optimizer.", topics=("optimizer", "local_steps")),
    variant("AdagradOptax", {"accumulator_start": "given", "epsilon_place": "inside"},
            "adagrad is optax's: from initial_accumulator, with epsilon inside the root",
            "Nearly TensorFlow 1's, where gradients are not tiny. Look at scale_by_rss of optax.",
            topics=("optimizer",), only_where="accumulator_start"),
    variant("PyPIPackage", PYPI,
            "everything is as in the PyPI package locoprop 0.1.0: the mean over the batch, corrected inputs "
            "with a cap, PyTorch's RMSProp, no proximal term",
            "Another method in four places. See FORMAT.md for each; the package has no setting for the "
            "mean, and correction=0 switches the corrected inputs off.",
            topics=("training",)),
    # losses
    bug("SoftmaxOverBatch", {"softmax_axis": "batch"},
        "the derivative of softmax is taken over the batch in place of the outputs",
        "Columns of g sum to 0 in place of rows. Look at the argument dim or axis of softmax; it is the last "
        "one.", topics=("output_loss", "network", "first_step", "training")),
)
# fmt: on
