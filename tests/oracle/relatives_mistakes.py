"""Mistakes planted in copies of `numpy_family.py`, one a function: what the diagnosis has to name."""

import importlib.util
from pathlib import Path

import numpy as np


def fresh_copy():
    """Return a fresh copy of the program."""
    path = Path(__file__).with_name("numpy_family.py")
    spec = importlib.util.spec_from_file_location("copy_of_numpy_family", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def conventions(**changed):
    """Make the target act as if the group had stated other conventions."""

    def plant(m):
        right = m.target
        m.target = lambda topic, stated, inputs: right(
            topic, stated | {k: v for k, v in changed.items() if k in stated}, inputs
        )

    return plant


def given(**changed):
    """Make the target see other numbers, each computed from all inputs."""

    def plant(m):
        right = m.target
        m.target = lambda topic, stated, i: right(
            topic, stated, i | {k: f(i) for k, f in changed.items() if k in i}
        )

    return plant


def replaced(name, make):
    """Replace a function by what `make` makes of the module and the function."""

    def plant(m):
        setattr(m, name, make(m, getattr(m, name)))

    return plant


def simply(name, function):
    """Replace a function by another one."""
    return replaced(name, lambda m, right: function)


# codes ----------------------------------------------------------------------------------------------


def codes_after_transfer(m):
    m.start_of_code = lambda a_hat, f: m.TRANSFERS[f](a_hat)
    m.said = lambda code, f: code
    m.slope_of = lambda code, f: 1.0
    m.mismatch = lambda a, code, f, c: m.squares(code, c) * (m.TRANSFERS[f](a) - code) * m.SLOPES[f](a)


def velocity_over_layers(m):
    def fresh(code, memory, layer):
        same = layer + 1 in memory and memory[layer + 1].shape == code.shape
        return memory[layer + 1] if same else np.zeros_like(code)

    m.fresh_velocity = fresh


def velocity_over_batches(m):
    m.fresh_velocity = lambda code, memory, layer: memory.get(layer, np.zeros_like(code))


def coupling_on_lower_terms(m):
    m.top_weight = lambda mu: 1.0
    m.lower_weight = lambda mu: 1 / mu


def heavy_ball(gradient, velocity, rho):
    velocity = rho * velocity + gradient
    return velocity, velocity


# memory ---------------------------------------------------------------------------------------------


def every_batch(where, count):
    return (1.0, 0.0) if where == "inside" else (0.0, 1.0)


def inputs_alone(m):
    m.pull = lambda C, A, W, x, y: x.T @ (y - x @ W)


# targets --------------------------------------------------------------------------------------------


def psi_with(transfer_of):
    def make(m, right):
        def psi(y, i, k):
            return m.TRANSFERS[transfer_of(i, k)](y @ i[f"V_{k}"] + i[f"c_{k}"])

        return psi

    return replaced("psi", make)


def at_top_only(m):
    right = m.corrected
    m.corrected = lambda *args: right(*args) if args[-1] else m.plain(*args)


def one_f_prime_too_many(net, a_hats, g):
    return g[-2]


def averaged(m):
    right = m.jacobians

    def jacobians(net, a_hats):
        found = right(net, a_hats)
        return [np.broadcast_to(J.mean(0, keepdims=True), J.shape) for J in found]

    m.jacobians = jacobians


def by_post_activation(m):
    right = m.jacobians

    def jacobians(net, a_hats):
        found = right(net, a_hats)
        above = [J @ W.T for J, (W, _, _) in zip(found[1:], net[1:], strict=True)]
        return [*above, found[-1]]

    m.jacobians = jacobians


def removal_with(system):
    def removal(J, r, tau):
        eye, JT = np.eye(J.shape[1]), J.transpose(0, 2, 1)
        return (JT @ np.linalg.solve(system(J @ JT, eye, tau), r[:, :, None]))[:, :, 0]

    return simply("removal", removal)


def split_damping(g, G, damping, x):
    A_mean = ((x**2).sum() + len(x)) / len(x) / (x.shape[1] + 1)
    pi = np.sqrt(A_mean / (np.trace(G) / len(G)))
    return np.linalg.solve(G + np.sqrt(damping) / pi * np.eye(len(G)), g.T).T


def of_mean_gradient(g):
    mean = g.sum(0, keepdims=True)
    return mean.T @ mean


def relu_forgotten(m):
    def cheaper(a, p, gamma, beta, right=m.cheaper, relu=m.relu):
        m.relu = relu
        found = right(a, p, gamma, beta)
        m.relu = no_relu
        return found

    def no_relu(z):
        return z

    m.relu, m.cheaper = no_relu, cheaper


# name: (what plants it, the flag that the first line must name)
MISTAKES = {
    # codes
    "codes after the transfer": (codes_after_transfer, "CodesPostActivation"),
    "old code above": (simply("seen_above", lambda found, start, m: start[m + 1]), "CodesJacobi"),
    "coupling multiplied": (simply("top_weight", lambda mu: mu), "CouplingMultiplied"),
    "coupling on the lower terms": (coupling_on_lower_terms, "CouplingBelow"),
    "heavy ball": (simply("code_step", heavy_ball), "CodesHeavyBall"),
    "old velocity in the step": (
        simply("code_step", lambda g, v, rho: (g + rho * v, rho * v + g)), "CodesHeavyBall"),
    "velocity over layers": (velocity_over_layers, "CodeMomentumOverLayers"),
    "velocity over batches": (velocity_over_batches, "CodeMomentumOverBatches"),
    "anchor without gradient": (simply("anchored", lambda code, start, kappa: 0.0), "CodeAnchorAbsent"),
    "one code step less": (simply("number_of_steps", lambda K: K - 1), "CodeStepsOneLess"),
    "element means": (conventions(code_reduction="mean"), "CodesMean"),
    "sums for means": (conventions(code_reduction="sum"), "CodesSum"),
    "forward inputs": (conventions(code_inputs="forward"), "CodeInputsForward"),
    "moved inputs": (conventions(code_inputs="moved"), "CodeInputsMoved"),
    "batch sum": (simply("reduced", lambda g: g), "LossBatchSum"),
    "element mean of the network loss": (simply("reduced", lambda g: g / g.size), "LossElementMean"),
    # memory
    "ridge inside": (conventions(memory_ridge="inside"), "MemoryRidgeInside"),
    "ridge outside": (conventions(memory_ridge="outside"), "MemoryRidgeOutside"),
    "ridge inside every batch": (simply("ridge_now", every_batch), "MemoryRidgeEveryBatch"),
    "no ridge": (simply("ridge_now", lambda where, count: (0.0, 0.0)), "MemoryRidgeAbsent"),
    "decay on the new batch": (
        simply("remembered", lambda old, new, rho: old + rho * new), "MemoryDecayOfNew"),
    "running average": (
        simply("remembered", lambda old, new, rho: rho * old + (1 - rho) * new), "MemoryAverage"),
    "decay ignored": (simply("remembered", lambda old, new, rho: old + new), "MemoryDecayIgnored"),
    "inputs remembered alone": (inputs_alone, "MemoryOfInputs"),
    "moment transposed": (
        simply("moment", lambda x, y: y.T @ x if x.shape[1] == y.shape[1] else x.T @ y), "MemoryTransposed"),
    "jacobi sweep": (simply("triangle", lambda A: np.diag(np.diag(A))), "MemorySweepJacobi"),
    "sweep from below": (simply("triangle", np.triu), "MemorySweepReversed"),
    # target propagation
    "plain": (conventions(correction="plain"), "InversePlain"),
    "with a difference": (conventions(correction="difference"), "InverseDifference"),
    "difference at the layer above": (
        replaced("corrected", lambda m, right: lambda below, target, y, i, k, top:
                 below + m.psi(target - y, i, k)), "DifferenceBeforeInverse"),
    "difference at the top": (at_top_only, "DifferenceAtTopOnly"),
    "start at the output": (simply("start_at", lambda c: "output"), "StartAtOutput"),
    "start below the output": (simply("start_at", lambda c: "penultimate"), "StartAtPenultimate"),
    "start with f'": (simply("first_derivative", one_f_prime_too_many), "StartAtPreActivation"),
    "inverse with its own transfer": (psi_with(lambda i, k: i["transfers"][k - 1]), "InverseOwnTransfer"),
    "affine inverse": (psi_with(lambda i, k: "identity"), "InverseWithoutTransfer"),
    "target along g": (simply("moved_by", lambda y, step: y + step), "TargetSignFlipped"),
    # displacements
    "displacement of the post-activation": (
        replaced("displaced", lambda m, right: lambda a, d, f, method:
                 a - d if method == "locoprop-s" else m.TRANSFERS[f](a) - d), "DisplacedPostActivation"),
    "G summed": (simply("factor", lambda g: len(g) ** 2 * g.T @ g), "KroneckerSum"),
    "G of the mean loss": (simply("factor", lambda g: g.T @ g / len(g)), "KroneckerOfMeanLoss"),
    "G of the mean gradient": (simply("factor", of_mean_gradient), "KroneckerOfMeanGradient"),
    "damping on the inputs' side": (
        simply("damped_division", lambda g, G, damping, x: np.linalg.solve(G, g.T).T),
        "KroneckerDampingOtherSide"),
    "damping of the inverse": (
        simply("damped_division", lambda g, G, damping, x: np.linalg.solve(G, g.T).T + damping * g),
        "KroneckerDampingAfter"),
    "damping split": (simply("damped_division", split_damping), "KroneckerDampingSplit"),
    "tau exchanged": (removal_with(lambda JJ, eye, tau: tau * JJ + (1 - tau) * eye), "TauExchanged"),
    "tau for lambda": (removal_with(lambda JJ, eye, tau: JJ + tau * eye), "TauAsLambda"),
    "lambda without 1 + lambda": (
        removal_with(lambda JJ, eye, tau: JJ + tau / (1 - tau) * eye), "LambdaWithoutFactor"),
    "error of the mean loss": (simply("example_error", lambda g: g), "GaussNewtonMeanError"),
    "averaged Jacobian": (averaged, "GaussNewtonAveraged"),
    "Jacobian by the post-activation": (by_post_activation, "GaussNewtonPostActivation"),
    # mirror descent
    "exponent along the gradient": (simply("signed", lambda sg: -sg), "ExponentSignFlipped"),
    "one half": (
        replaced("both", lambda m, right: lambda plus, minus, sg: (m.times(plus, sg), minus)), "EGOneHalf"),
    "positive and negative part": (
        simply("halves", lambda w, beta: (np.maximum(w, 0) + beta / 2, np.maximum(-w, 0) + beta / 2)),
        "EGPartsAtStart"),
    "linear factor": (simply("times", lambda w, sg: w * (1 - sg)), "EGLinearized"),
    "sum of all weights": (simply("unit_sums", lambda w: w.sum() / w.shape[1]), "EGSumOverUnits"),
    "normalization exchanged": (
        simply("normalized", lambda parts, geometry:
               parts if geometry == "eg-normalized" else [part / sum(parts).sum(0) for part in parts]),
        "EGNormalizationExchanged"),
    "p for q": (simply("orders", lambda p: (p, p / (p - 1))), "NormOrdersExchanged"),
    # ADMM
    "branch by the sign of p": (
        simply("cheaper", lambda a, p, gamma, beta: np.where(
            p > 0, np.maximum(0, (gamma * a + beta * p) / (gamma + beta)), np.minimum(p, 0))),
        "ADMMBranchBySign"),
    "bias forgotten": (simply("without_bias", lambda z, b: z), "ADMMBiasForgotten"),
    "weights without bias": (
        simply("fitted", lambda a, z: (np.linalg.lstsq(a, z, rcond=None)[0], np.zeros(z.shape[1]))),
        "ADMMWeightsWithoutBias"),
    "relu forgotten": (relu_forgotten, "ADMMReluForgotten"),
    "penalties exchanged": (
        simply("penalties", lambda i: (i["penalty"], i["activation_penalty"])), "ADMMPenaltiesExchanged"),
    "penalty without a half": (simply("last_penalty", lambda i: 2 * i["penalty"]), "ADMMPenaltyWhole"),
    "half a multiplier step": (
        simply("multiplier_length", lambda i: i["multiplier_step"] * i["penalty"] / 2), "ADMMMultiplierHalf"),
    "multiplier with the other sign": (simply("pulled", lambda multiplier: multiplier), "ADMMMultiplierSign"),
    "labels of both signs": (simply("hinge_edge", lambda: -1.0), "ADMMLabelsOfBothSigns"),
}  # fmt: skip


def factor_2_on_lower_terms(m):
    m.lower_weight = lambda mu: 1.5


# mistakes that no flag describes: the diagnosis says so, and names nothing else
UNNAMED = {
    "anchor doubled": replaced("anchored", lambda m, right: lambda *a: 2 * right(*a)),
    "losses between layers times 1.5": factor_2_on_lower_terms,
    "code steps of another size": given(code_lr=lambda i: i["code_lr"] * 0.75),
    "momentum another": given(momentum=lambda i: i["momentum"] * 0.5 + 0.25),
    "two sweeps more": given(num_sweeps=lambda i: i["num_sweeps"] + 2),
    "ridge doubled": given(weight_step=lambda i: i["weight_step"] / 2),
    "moment of the last batch alone": simply("pull", lambda C, A, W, x, y: x.T @ y - A @ W),
    "inverse without its bias": replaced(
        "psi", lambda m, right: lambda y, i, k: m.TRANSFERS[i["transfers"][k - 2]](y @ i[f"V_{k}"])),
    "half of the difference": replaced(
        "corrected", lambda m, right: lambda b, t, y, i, k, top:
        b + (m.psi(t, i, k) - m.psi(y, i, k)) / 2),
    "damping doubled": given(damping=lambda i: 2 * i["damping"]),
    "tau squared": given(tau=lambda i: i["tau"] ** 2),
    "beta doubled": given(beta=lambda i: 2 * i["beta"]),
    "p of the other mean": given(p=lambda i: i["p"] + 0.5),
    "penalty of ADMM doubled": given(activation_penalty=lambda i: 2 * i["activation_penalty"]),
    "squared hinge edge": simply("hinge_edge", lambda: 0.5),
    "rates shifted": given(rates=lambda i: np.roll(np.asarray(i["rates"]), 1)),
}  # fmt: skip
