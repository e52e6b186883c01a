r"""L1, L2 and L4: a convolution and a recurrence are affine maps on rows, and say what a dense layer says.

The identities of layers with positions have numbers of their own, L1 to L5: L1 the rows and their adjoint, L2
the layers that are dense ones, L3 the closed form on shared weights, L4 shifted images and permuted examples,
L5 the mean over the examples.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from locoprop_ref.backend import to_backend, to_numpy
from locoprop_ref.layers import Layer
from locoprop_ref.methods.locoprop import locoprop_m, locoprop_s_closed
from locoprop_ref.network import Network, forward, gradients, initialize
from locoprop_ref.optimizers import SGD
from locoprop_ref.solvers import Descend
from locoprop_ref.verify.cases import HIDDEN, OUTPUTS, POSITIONS, positions_cases, random_case
from locoprop_ref.verify.complex_step import STEP, read_by_definition
from locoprop_ref.verify.measure import Identity, Measurement, far, worst
from locoprop_ref.wirings import Wiring, above, every_step, flatten, last_step, patches, pool, steps


def _wirings() -> tuple[Wiring, ...]:
    """Return every kind of wiring, with padding, strides and windows that overlap, and height ≠ width."""
    image = (2, 4, 5)
    return (
        patches(image, 2, padding=1),
        patches(image, 3, stride=2, padding=1),
        pool(image, 2),
        pool(image, 3, kind="max", stride=1),
        above(pool(image, 2, kind="max", stride=1).then(patches((2, 3, 4), 2, stride=2)), 20),
        above(flatten((3, 2, 2)), 4),
        steps((4, 3)),
        above(every_step((3, 4)), 4),
        above(last_step((3, 4)), 4),
    )


def pull_back_is_adjoint(seed: int = 0, xp: Any = np) -> Identity:
    """L1: rows are what the definition reads; pull_back is their adjoint, and the derivative also at ties."""
    rng = np.random.default_rng([seed, 31])
    rows, adjoint, slope = [], [], []
    for wiring in _wirings():
        y = rng.normal(size=(wiring.below * 3, wiring.channels))
        u = rng.normal(size=(wiring.positions * 3, wiring.width))
        tied = rng.integers(3, size=y.shape).astype(float)
        on_y, on_u, on_tied = (to_backend(values, xp=xp) for values in (y, u, tied))
        x = to_numpy(wiring.rows(on_y))
        rows.append(far(x, _rows(wiring, y), 1 + np.max(np.abs(x))))
        back = to_numpy(wiring.pull_back(on_u, on_y))
        adjoint.append(far(np.sum(x * u), np.sum(y * back), np.sum(np.abs(x * u))))
        got = wiring.pull_back(on_u, on_tied)
        slope.append(far(got, _slope(wiring, tied, u), np.max(np.abs(u))))
    parts = (
        Measurement("rows(y) = the definition", worst(rows), 1e-14, "exact, but for the mean of a window"),
        Measurement("⟨rows(y), u⟩ = ⟨y, pull_back(u)⟩", worst(adjoint), 1e-14, "rounding of Σ |rows(y) u|"),
        Measurement(
            "pull_back(u) = ∂⟨rows, u⟩/∂y; max: first of ties", worst(slope), 1e-14, "rounding of |u|"
        ),
    )
    return Identity("L1", "the way back through a wiring is the adjoint of its rows", parts)


def _rows(wiring: Wiring, y: np.ndarray) -> np.ndarray:
    """Return the rows by the definition, ordered (position, example); y is (below·3, channels)."""
    said = y.reshape(wiring.below, 3, wiring.channels).transpose(1, 2, 0).reshape(3, -1)
    return read_by_definition(wiring.recipe, said).transpose(2, 0, 1).reshape(-1, wiring.width)


def _slope(wiring: Wiring, y: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Return the derivative of ⟨rows(y), u⟩ with respect to every number of y, by complex steps."""
    slope = np.empty(y.shape)
    for place in np.ndindex(y.shape):
        moved = y.astype(complex)
        moved[place] += STEP * 1j
        slope[place] = np.sum(_rows(wiring, moved).imag / STEP * u)
    return slope


def one_position_is_dense(seed: int = 0, xp: Any = np) -> Identity:
    """L2: a kernel as large as the image, and a recurrence of one step, are dense layers."""
    kernel_said, kernel_moved, _ = _beside_dense("2x2x2-c2x3-3", seed, xp)
    step_said, step_moved, resting = _beside_dense("1x8-r3-3", seed, xp)
    product, condition = "rounding of a product", "rounding, condition 1 + ηλ_max"
    parts = (
        Measurement("kernel of the image's size: ŷ and ∂L/∂W̃", kernel_said, 1e-14, product),
        Measurement("kernel of the image's size: steps of S and M", kernel_moved, 1e-12, condition),
        Measurement("one step: ŷ and ∂L/∂W̃", step_said, 1e-14, product),
        Measurement("one step: steps of S and M", step_moved, 1e-12, condition),
        Measurement("one step from zero: W_h rests", resting, 0.0, "exact: its inputs are 0"),
    )
    return Identity("L2", "a layer of one position is a dense layer", parts)


def _beside_dense(words: str, seed: int, xp: Any) -> tuple[float, float, float]:
    """Return how far a network of one position is from a dense one, and how far W_h moves.

    Its first layer reads 8 numbers and says 3; a recurrent one starts from zero.
    """
    said, moved, resting = [], [], [0.0]
    for name, (output, loss) in zip(HIDDEN, OUTPUTS, strict=True):
        case = random_case(name, output, loss, seed=seed, xp=xp, sizes=words)
        first, last = case.network.layers
        first = replace(first, initial_state=None)
        network = replace(case.network, layers=(first, last))
        dense = replace(network, layers=(Layer(first.W[:8, :], first.b, first.transfer), last))
        pairs = [(forward(net, case.x).y_hat, gradients(net, case.x, case.t)) for net in (network, dense)]
        for got, wanted in zip(*pairs, strict=True):
            said += [_apart(*pair) for pair in zip(got, wanted, strict=True)]
        for one, other in zip(*_stepped((network, dense), case.x, case.t), strict=True):
            new = zip(one.layers, other.layers, strict=True)
            moved += [_apart(ours.stacked, theirs.stacked) for ours, theirs in new]
            if first.recurrent:
                resting.append(far(one.layers[0].W[8:, :], to_numpy(first.W[8:, :]), 1))
    return worst(said), worst(moved), worst(resting)


def _apart(got: Any, wanted: Any) -> float:
    """Return the distance of two arrays, without rows 8 to 10 of the first if it has more rows: W_h."""
    got, wanted = to_numpy(got), to_numpy(wanted)
    if len(got) > len(wanted):
        got = np.delete(got, slice(8, 11), axis=0)
    return far(got, wanted, 1 + np.max(np.abs(wanted)))


def _stepped(networks: tuple[Network, ...], x: Any, t: Any) -> list[list[Network]]:
    """Return each network after a step of S in closed form, and after one of M by steps of SGD."""
    methods = (locoprop_s_closed(target_step=10.0), locoprop_m(Descend(SGD(), 1e-2)))
    return [[how.step(net, how.init(net), x, t)[0] for how in methods] for net in networks]


def order_does_not_matter(seed: int = 0, xp: Any = np) -> Identity:
    """L4: a shifted image shifts the rows and outputs of a convolution; permuted examples change nothing."""
    rows, shifted = _shifted(seed, xp)
    said, gradient = [], []
    order = [2, 0, 1]
    for case in (case for where in POSITIONS for case in positions_cases(where, seed, xp)):
        x, t = (to_backend(to_numpy(values)[order], xp=xp) for values in (case.x, case.t))
        trace = forward(case.network, x)
        for a_hat, before in zip(trace.a_hat, case.trace.a_hat, strict=True):
            wanted = to_numpy(before).reshape(-1, 3, before.shape[1])[:, order].reshape(before.shape)
            said.append(far(a_hat, wanted, 1 + np.max(np.abs(wanted))))
        both = (gradients(case.network, x, t), gradients(case.network, case.x, case.t))
        for layer, inputs, g, new, old in zip(case.network.layers, case.trace.x, case.g, *both, strict=True):
            terms = np.abs(to_numpy(layer.augment(inputs))).T @ np.abs(to_numpy(g))
            gradient.append(far(new, to_numpy(old), np.max(terms)))
    parts = (
        Measurement("shifted image: the rows shift", rows, 0.0, "exact: the same numbers"),
        Measurement("shifted image: â of all convolutions shifts", shifted, 1e-14, "rounding of x̃W̃"),
        Measurement("permuted examples: â is permuted", worst(said), 1e-14, "rounding of x̃W̃"),
        Measurement("permuted examples: ∂L/∂W̃ stays", worst(gradient), 1e-14, "rounding of |X̃|ᵀ|g|"),
    )
    return Identity("L4", "weights are shared by all positions and examples", parts)


def _shifted(seed: int, xp: Any) -> tuple[float, float]:
    """Return how far two crops of one image, one down and one to the right, are from each other's shifts."""
    rng = np.random.default_rng([seed, 34])
    network = initialize("5x6x2-c2x3-m2/1-c2x2-3", transfers="tanh", seed=rng, xp=xp)
    image = rng.normal(size=(3, 2, 6, 7))
    crops = (image[:, :, :-1, :-1], image[:, :, 1:, 1:])
    one, other = (forward(network, to_backend(crop.reshape(3, -1), xp=xp)) for crop in crops)
    errors = []
    for number, grid in enumerate([(4, 5), (2, 3)]):  # positions of the two convolutions
        for first, second in ((one.x, other.x), (one.a_hat, other.a_hat)):
            before, after = (to_numpy(a[number]).reshape(*grid, 3, -1) for a in (first, second))
            errors.append(far(after[:-1, :-1], before[1:, 1:], 1 + np.max(np.abs(before))))
    return errors[0], worst(errors)
