"""Gauss–Newton displacements, example by example, from explicit Jacobians and inverses of whole matrices.

The second source of `locoprop_ref.gauss_newton_targets`. Networks are those of `naive.py`. The Jacobian of
the last pre-activation of one example is the product of W and of the transfer functions' full Jacobians.
"""

import numpy as np
from naive import forward, jacobian


def jacobians(layers, row):
    """∂a_M/∂a_m of one example for every layer, as d_M × d_m matrices."""
    a_hats = [rows[0] for rows in forward(layers, [row])[1]]
    found = [np.eye(len(a_hats[-1]))]
    for (W, _, _), (_, _, transfer), a_hat in zip(layers[:0:-1], layers[-2::-1], a_hats[-2::-1], strict=True):
        found.append(found[-1] @ np.array(W).T @ np.array(jacobian(transfer, a_hat)))
    return found[::-1]


def displacements(layers, x, errors, gamma, tau):
    """γ Jᵀ((1−τ)JJᵀ + τI)⁻¹ r of every layer, as arrays with one row for every example; τ = 0: γ J⁺ r."""
    rows = []
    for row, r in zip(x, errors, strict=True):
        steps = []
        for J in jacobians(layers, row):
            if tau == 0:
                steps.append(gamma * np.linalg.lstsq(J, np.array(r), rcond=1e-12)[0])
            else:
                damped = (1 - tau) * J @ J.T + tau * np.eye(len(J))
                steps.append(gamma * J.T @ np.linalg.inv(damped) @ np.array(r))
        rows.append(steps)
    return [np.array(steps) for steps in zip(*rows, strict=True)]


def layer_step(x, J, r, gamma):
    """The minimum-norm Gauss–Newton step of one layer's weights W̃, from the whole Jacobian of all outputs.

    A row of it is ∂(output k of example b)/∂W̃ = x̃_b ⊗ J_b[k].
    """
    whole = np.array([np.kron(x_b, J_bk) for x_b, J_b in zip(x, J, strict=True) for J_bk in J_b])
    step = -gamma * np.linalg.pinv(whole, rcond=1e-12) @ np.ravel(r)
    return step.reshape(len(x[0]), -1)


def linear_inverse_targets(layers, a_last):
    """Target propagation by exact inverses of elementwise tanh or identity layers: a*_m of every layer."""
    found = [np.array(a_last)]
    for (W, b, _), (_, _, transfer) in zip(layers[:0:-1], layers[-2::-1], strict=True):
        y = (found[-1] - np.array(b)) @ np.linalg.inv(np.array(W))
        found.append(np.arctanh(y) if transfer[0] == "tanh" else y)
    return found[::-1]
