r"""The gradient of the network loss from blocks of examples, which are computed side by side.

The gradient of a mean over the batch is the mean of the gradients of its blocks, each with its share of the
examples as weight. The rows of a convolution are many times larger than its images: the rows of a block stay
in the processor's cache, and every core works on a block of its own, also where NumPy has one thread.

>>> import numpy as np
>>> from locoprop_ref.network import gradients, initialize
>>> network = initialize("4x4x1-c3x2-3", transfers="tanh")
>>> x, t = np.ones((5, 16)), np.zeros((5, 3))
>>> pairs = zip(gradients(network, x, t), gradients_in_microbatches(network, x, t, blocks=2))
>>> all(np.allclose(whole, blocks) for whole, blocks in pairs)
True
"""

from functools import partial
from itertools import pairwise
from typing import Any

from locoprop_ref import checks
from locoprop_ref.network import Network, gradients
from locoprop_ref.parallel import side_by_side

# numbers in the rows of a block: 8 MiB in float32. A step of LeNet-5 is quickest from 50 to 100 examples
ROWS_OF_A_BLOCK = 2**21


def gradients_in_microbatches(network: Network, x: Any, t: Any, blocks: int) -> tuple[Any, ...]:
    """Return ∂L/∂W̃ of every layer, as `gradients` does, from blocks of examples; they agree to rounding.

    Args:
        network: the network.
        x: (B, d_0) batch, in the dtype of the network.
        t: (B, d_M), what the network should say.
        blocks: how many, from 1 to B; see `microbatches_that_pay`.

    Raises:
        ValueError, TypeError: more blocks than examples, or as for `gradients`.
    """
    checks.instance("network", network, Network, "a Network, as initialize makes")
    checks.batch("x", x, width=network.layers[0].inputs)
    B = x.shape[0]
    checks.array("t", t, shape=(B, network.layers[-1].W.shape[1]))
    if checks.integer("blocks", blocks) > B:
        raise ValueError(f"blocks must be at most the {B} examples of x, got {blocks}")
    parts = [slice(*ends) for ends in pairwise(B * i // blocks for i in range(blocks + 1))]
    multiplications = sum(layer.positions * layer.W.shape[0] * layer.W.shape[1] for layer in network.layers)
    costs = [multiplications * (part.stop - part.start) for part in parts]
    tasks = [partial(_share, network, x, t, part) for part in parts]
    first, *others = side_by_side(tasks, costs, like=network.layers[0].W)
    return tuple([sum(of_layer[1:], start=of_layer[0]) for of_layer in zip(first, *others, strict=True)])


def _share(network: Network, x: Any, t: Any, part: slice) -> list[Any]:
    """Return what a block of examples adds to the gradients of the mean over the batch."""
    share = (part.stop - part.start) / x.shape[0]
    return [share * gradient for gradient in gradients(network, x[part, :], t[part, :])]


def microbatches_that_pay(network: Network, num_examples: int, rows_of_a_block: int = ROWS_OF_A_BLOCK) -> int:
    """Return the number of blocks with which `gradients_in_microbatches` is quick.

    It is 1 for a dense network, whose products are quickest on the whole batch, and for a network with a
    recurrent layer, whose steps through time are many and short, so that threads would wait for each other.

    Args:
        network: the network.
        num_examples: B.
        rows_of_a_block: how many numbers the rows of all layers together may have in a block, default 2²¹;
            at least as many as there are weights, because every block has a gradient as well.

    >>> from locoprop_ref.network import initialize
    >>> microbatches_that_pay(initialize("28x28x1-c5x6+2-p2-c5x16-p2-120-84-10", transfers="tanh"), 100)
    2
    """
    checks.instance("network", network, Network, "a Network, as initialize makes")
    num_examples = checks.integer("num_examples", num_examples)
    rows_of_a_block = checks.integer("rows_of_a_block", rows_of_a_block)
    layers = network.layers
    if any(layer.recurrent for layer in layers) or all(layer.positions == 1 for layer in layers):
        return 1
    rows = sum(layer.positions * layer.W.shape[0] for layer in layers)
    weights = sum(layer.W.shape[0] * layer.W.shape[1] for layer in layers)
    return min(num_examples, max(1, round(num_examples * rows / max(rows_of_a_block, weights))))
