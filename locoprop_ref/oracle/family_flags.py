"""Flags of LocoProp's relatives; each effect says where to look, and how to mend it."""

from locoprop_ref.oracle.flag import bug, variant

# fmt: off
FLAGS = (
    # codes of alternating minimization
    bug("CodesPostActivation", {"code_of": "post-activation"},
        "a code stands after the transfer of its layer in place of before it",
        "The codes are other variables, with another loss. Look at what a code is a copy of; start from "
        "the pre-activation, and let the layer above read f of it."),
    bug("CodesJacobi", {"code_order": "jacobi"},
        "the codes are moved all at once, each seeing the old code above it",
        "Only the topmost code moves, because the losses below are 0 at the start. Look at the loop over "
        "the layers; go from the top down, and use the code above as it is after its steps."),
    bug("CouplingMultiplied", {"code_coupling": "multiplies the network loss"},
        "the coupling multiplies the network loss in place of dividing it",
        "The topmost code moves by coupling^2 times the right length at first. Look at its loss; its "
        "weight is 1/coupling."),
    bug("CouplingBelow", {"code_coupling": "divides the losses between layers"},
        "1/coupling weighs the losses between layers in place of the network loss",
        "The topmost code moves too little, the others too much. Look at both losses; only the network "
        "loss has the weight 1/coupling."),
    variant("CodesHeavyBall", {"code_momentum": "heavy ball"},
        "the momentum of the codes is a heavy ball in place of Nesterov's",
        "The first step is shorter by 1 + momentum. Look at the optimizer of the codes; the published code "
        "has Nesterov's (nesterov=True in PyTorch)."),
    bug("CodeMomentumOverLayers", {"code_momentum_state": "kept over layers"},
        "the momentum of a code goes on into the code below",
        "A code is pushed by the steps of another one. Look where the velocity is made; start from zero for "
        "every code."),
    bug("CodeMomentumOverBatches", {"code_momentum_state": "kept over batches"},
        "the momentum of a code goes on into the next batch",
        "A code is pushed by the steps of another batch. Look where the optimizer of the codes is made; "
        "start from zero in every batch."),
    bug("CodeAnchorAbsent", {"code_anchor": "without gradient"},
        "the anchor of the codes is missing, or has no gradient",
        "Codes go further from the forward pass than asked for. Look whether the copy of the code is made "
        "inside the graph (in the published code it is, so that the difference is 0); copy it once, "
        "before the first step, and detach it."),
    bug("CodeStepsOneLess", {"code_steps": "K - 1"},
        "every code takes one step less than K",
        "Codes move too little. Look at the range of the loop over the steps."),
    variant("CodesMean", {"code_reduction": "mean"},
        "the losses between layers are means of squares in place of half their sums",
        "As in the published code; lower codes move by 2/(B d) for each layer, and hardly at all in float32. "
        "Look at the reduction of the loss (PyTorch's MSELoss takes the mean)."),
    variant("CodesSum", {"code_reduction": "sum"},
        "the losses between layers are half sums of squares in place of means",
        "Lower codes move further than in the published code. Look at the reduction of the loss."),
    variant("CodeInputsForward", {"code_inputs": "forward"},
        "the layers' inputs are those of the forward pass in place of f of the moved codes",
        "As in LocoProp; the weights then see inputs that no code has moved. Look at what the weight step "
        "multiplies."),
    variant("CodeInputsMoved", {"code_inputs": "moved"},
        "the layers' inputs are f of the moved codes in place of those of the forward pass",
        "As in alternating minimization. Look at what the weight step multiplies."),
    # memory
    variant("MemoryRidgeInside", {"memory_ridge": "inside"},
        "the ridge stands inside the memory, once",
        "With decay it fades, and the system becomes singular. Look where 1/weight_step is added; add it to "
        "a copy of A, and solve for the change from the present weights."),
    variant("MemoryRidgeOutside", {"memory_ridge": "outside"},
        "the ridge stands outside the memory, around the present weights",
        "The step has a momentum of its own. Look where 1/weight_step is added; inside, it is added to A, "
        "and W/weight_step to C, with the first batch alone."),
    bug("MemoryRidgeEveryBatch", {"memory_ridge": "inside every batch"},
        "the ridge is added inside the memory with every batch",
        "The ridge grows from batch to batch, and the weights freeze. Look where 1/weight_step is added; "
        "do so with the first batch alone, or to a copy of A.", memory_ridge="inside"),
    bug("MemoryRidgeAbsent", {"memory_ridge": "absent"},
        "the ridge is left out",
        "Inputs that are nearly dependent make large weights. Look at the system; add 1/weight_step to "
        "its diagonal."),
    bug("MemoryDecayOfNew", {"memory_decay": "of the new batch"},
        "the decay multiplies the new batch in place of the past",
        "The past is never forgotten. Look at the line that adds a batch: A = decay A + x^T x."),
    variant("MemoryAverage", {"memory_decay": "average"},
        "the memory is a running average, decay A + (1 - decay) x^T x",
        "The ridge weighs more, by 1/(1 - decay). Look at the line that adds a batch; without the factor "
        "1 - decay, or with a ridge that has it too."),
    bug("MemoryDecayIgnored", {"memory_decay": "ignored"},
        "the decay is ignored",
        "The past is never forgotten. Look whether the decay reaches the line that adds a batch."),
    variant("MemoryOfInputs", {"memory_of": "inputs alone"},
        "only x^T x is remembered, and the present batch alone has a pull",
        "FOOF with its running covariance, another method. Look at C; it adds up x^T y as A adds x^T x."),
    bug("MemoryTransposed", {"memory_moment": "y^T x"},
        "the sum of x^T y is transposed",
        "Works only where it is square. Look at the product; C is (d_in + 1, d_out), like W with its bias."),
    bug("MemorySweepJacobi", {"memory_sweep": "all rows at once"},
        "a sweep moves all rows at once, each seeing the old rows",
        "Sweeps may diverge. Look at the sweep; use the rows that have moved already (in matrices: the "
        "lower triangle of A in place of its diagonal)."),
    variant("MemorySweepReversed", {"memory_sweep": "from the last row"},
        "a sweep goes over the rows from the bias to the first one",
        "The solution is the same after many sweeps. Look at the order of the loop, or of the rows of W."),
    # target propagation
    variant("InversePlain", {"correction": "plain"},
        "targets are psi(y*), without the difference",
        "Target propagation; errors of the inverses enter the targets. Look at the line of the target; add "
        "y_hat - psi(y_hat)."),
    variant("InverseDifference", {"correction": "difference"},
        "targets are y_hat + psi(y*) - psi(y_hat)",
        "Difference target propagation. Look at the line of the target; it is psi(y*) alone."),
    bug("DifferenceBeforeInverse", {"correction": "before the inverse"},
        "the difference is taken in the layer above, y_hat + psi(y* - y_hat)",
        "A nonlinear inverse does not take differences to differences. Look at the argument of psi; apply it "
        "to y* and to y_hat, and subtract.", correction="difference"),
    bug("DifferenceAtTopOnly", {"correction": "at the top only"},
        "the difference is taken at the topmost inverse only",
        "Errors of the other inverses enter the targets. Look at the loop over the layers; subtract "
        "psi(y_hat) in every one.", correction="difference"),
    variant("StartAtOutput", {"start": "output"},
        "propagation starts at the output layer",
        "Needs an inverse of the output layer. Look at the first target; start from y_hat of layer M-1 minus "
        "target_step times dL/dy_hat."),
    variant("StartAtPenultimate", {"start": "penultimate"},
        "propagation starts at the layer below the output",
        "The output layer learns on the network loss itself. Look at the first target; start from y_hat "
        "of layer M minus target_step times g."),
    bug("StartAtPreActivation", {"start_derivative": "by the pre-activation"},
        "the first target is made with the derivative by the pre-activation",
        "It has one f' too many. Look at the gradient of the first target; take it by the post-activation."),
    bug("InverseOwnTransfer", {"inverse_transfer": "of the layer itself"},
        "psi_m has the transfer of layer m in place of layer m-1",
        "Targets lie in the range of the wrong layer. Look at the transfer of psi; it makes outputs of the "
        "layer below."),
    bug("InverseWithoutTransfer", {"inverse_transfer": "none"},
        "psi_m is affine, without a transfer",
        "Targets lie outside the range of the layer below. Look at psi; apply f of layer m-1 to it."),
    # displacements
    bug("DisplacedPostActivation", {"displacement": "of the post-activation"},
        "the displacement is subtracted from f(a_hat) in place of a_hat",
        "d has the units of a pre-activation. Look at the target of M; it is f(a_hat - d). (Only for "
        "d = target_step g LocoProp-M has the target f(a_hat) - d.)"),
    bug("KroneckerSum", {"kronecker_factor": "sum over examples"},
        "G is summed over the examples in place of averaged",
        "The displacement is B times too small. Look at G; divide by the number of examples."),
    bug("KroneckerOfMeanLoss", {"kronecker_factor": "gradients of the mean loss"},
        "G is made of the gradients of the mean loss, which carry 1/B",
        "G is B^2 times too small, and the damping is all that counts. Look at what G is made of; multiply g "
        "by B, because G is of the loss of one example."),
    bug("KroneckerOfMeanGradient", {"kronecker_factor": "of the mean gradient"},
        "G is the outer product of the averaged gradient",
        "G has rank 1. Look at the order of mean and product; take the product of every example, then the "
        "mean."),
    bug("KroneckerDampingOtherSide", {"kronecker_damping": "not added"},
        "the damping is missing in G (perhaps added to the factor of the inputs alone)",
        "Where G is small the displacement is huge. Look at the factor that gets the damping; the factor "
        "of the target is G."),
    bug("KroneckerDampingAfter", {"kronecker_damping": "added to the inverse"},
        "the damping is added to the inverse of G in place of to G",
        "It damps nothing. Look at the order; add it to the diagonal first, then take the inverse."),
    variant("KroneckerDampingSplit", {"kronecker_damping": "split"},
        "the damping is split over both factors, sqrt(damping)/pi for G",
        "K-FAC's own (factored Tikhonov damping). Look at what is added to G; here it is the damping as it "
        "is."),
    bug("TauExchanged", {"gauss_newton_damping": "tau and 1 - tau exchanged"},
        "tau and 1 - tau are exchanged",
        "The slider runs the other way. Look at the system: (1 - tau) J J^T + tau I."),
    bug("TauAsLambda", {"gauss_newton_damping": "tau as lambda"},
        "tau is used as lambda, J J^T + tau I",
        "tau = 1 does not give LocoProp's direction. Look at the system: (1 - tau) J J^T + tau I, which is "
        "lambda = tau/(1 - tau) and the step times 1 + lambda."),
    bug("LambdaWithoutFactor", {"gauss_newton_damping": "without 1 + lambda"},
        "with lambda = tau/(1 - tau) the step is not multiplied by 1 + lambda",
        "Displacements vanish as tau goes to 1. Look at the step; with lambda it is target_step "
        "(1 + lambda)."),
    bug("GaussNewtonMeanError", {"gauss_newton_error": "of the mean loss"},
        "the error of an example is taken from the mean loss, and carries 1/B",
        "Displacements are B times too small. Look at r; it is B times g of the last layer."),
    bug("GaussNewtonAveraged", {"gauss_newton_jacobian": "averaged"},
        "the Jacobian is averaged over the batch",
        "Every example gets the displacement of an average one. Look at J; every example has its own."),
    bug("GaussNewtonPostActivation", {"gauss_newton_jacobian": "by the post-activation"},
        "the Jacobian is by the post-activation of the layer",
        "It lacks f' of the layer, and the displacement is not one of its pre-activation. Look at the "
        "variable by which J is taken; it is a_hat."),
    # mirror descent
    bug("ExponentSignFlipped", {"exponent_sign": "plus"},
        "the weights move along the gradient in place of against it",
        "Training climbs the loss. Look at the sign of the exponent; w+ <- w+ exp(-s g)."),
    bug("EGOneHalf", {"eg_halves": "the positive one"},
        "only the positive half of EG± moves",
        "Weights cannot fall below -w-. Look at w-; w- <- w- exp(s g), with the same rate."),
    variant("EGPartsAtStart", {"eg_start": "positive and negative part"},
        "EG± starts from the positive and the negative part of W, plus beta/2 each",
        "w+ w- is then beta^2/4 only where W is 0. Look at the start; w± = (sqrt(w^2 + beta^2) ± w)/2."),
    variant("EGLinearized", {"eg_factor": "1 - s g"},
        "weights are multiplied by 1 - s g in place of exp(-s g)",
        "The first-order approximation (as in the prod update). Look at the factor."),
    bug("EGNormalizationExchanged", {"eg_normalized": "exchanged"},
        "the weights are normalized where they should not be, or not where they should",
        "EG and EG± have free sums, normalized EG has the sum 1. Look at the division by the sum of the "
        "weights."),
    bug("EGSumOverUnits", {"eg_sum": "over all units"},
        "the weights are normalized over all units in place of each by itself",
        "Units compete for the sum. Look at the axis of the sum; every column of W has the sum 1."),
    bug("NormOrdersExchanged", {"norm_order": "p, q"},
        "p and q are exchanged in the p-norm algorithm",
        "Small in place of large weights are favoured. Look at the links; the dual weights belong to the "
        "q-norm, with 1/p + 1/q = 1."),
    # blocks of ADMM
    bug("ADMMBranchBySign", {"admm_branch": "sign of p"},
        "the branch of a hidden z is chosen by the sign of the prediction",
        "The energy may rise. Look at the condition; compute both branches and take the one that costs "
        "less."),
    bug("ADMMBiasForgotten", {"admm_bias": "forgotten in the activation"},
        "the block of a does not subtract the bias of the layer above",
        "Activations are pulled away by the bias. Look at the right side; it has (z_above - b) W^T."),
    bug("ADMMWeightsWithoutBias", {"admm_bias": "left out of the weights"},
        "the weights are solved for without a bias",
        "The fit lacks its constant. Look at the least squares; append a column of ones to a."),
    bug("ADMMReluForgotten", {"admm_transfer": "forgotten"},
        "the block of a sees z in place of relu(z)",
        "Activations are pulled below 0. Look at the right side; it has activation_penalty relu(z)."),
    bug("ADMMPenaltiesExchanged", {"admm_penalties": "exchanged"},
        "the two penalties are exchanged",
        "Each distance has the other's weight. Look at the order of the arguments."),
    variant("ADMMPenaltyWhole", {"admm_penalty": "whole"},
        "the penalty of z lacks its factor 1/2",
        "As in Taylor et al.; the penalty acts as twice as large. Look at the energy."),
    variant("ADMMMultiplierHalf", {"admm_multiplier_step": "half"},
        "the multiplier moves by half of penalty times (z - prediction)",
        "Right together with a penalty without 1/2, as in Taylor et al., whose penalty is half of this one. "
        "Look at the last line of a step."),
    bug("ADMMMultiplierSign", {"admm_multiplier_sign": "minus"},
        "the multiplier has the opposite sign",
        "Correct only if all signs of the multiplier are exchanged. Look at its term in the energy; it is "
        "+ multiplier z."),
    bug("ADMMLabelsOfBothSigns", {"admm_labels": "-1 and 1"},
        "the hinge loss is that of labels -1 and 1",
        "Its kink for the label 0 is at -1 in place of 0. Look at the block of the last z; for the label 0 "
        "the loss is max(0, z)."),
)
# fmt: on
