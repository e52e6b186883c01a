r"""Rows in blocks of examples, for layers that have more rows than memory should hold.

A patch of 5×5 pixels repeats every pixel 25 times, so that the rows X̃ of a convolution can be far larger than
what stands below and above it. The local problem of S needs them only in products, and a product of rows is a
sum over blocks of examples, each of which is made, used and forgotten:

    X̃ᵀX̃ = Σ_blocks X̃_bᵀX̃_b        X̃ᵀr = Σ_blocks X̃_bᵀr_b        X̃W̃ = [X̃_bW̃ of every block]

`RowBlocks` stands for X̃ in these three products, written `x.T @ x`, `x.T @ r` and `x @ W`. Its sums also
round less than one long sum does in single precision. The price is that the rows are made anew for each
product.

>>> import numpy as np
>>> from locoprop_ref.wirings import patches
>>> wiring, y = patches((1, 3, 3), size=2), np.arange(18.0).reshape(2, 9)
>>> x = RowBlocks(wiring.rows, y, below=1, positions=4, width=4, examples=1)
>>> bool(np.all(x.T @ x == wiring.rows(y).T @ wiring.rows(y)))
True
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from locoprop_ref.backend import array_namespace, device


@dataclass(frozen=True, eq=False)
class RowBlocks:
    """The rows X̃ of a layer, (R, d̃), which are made again for every product, one block of examples at a time.

    Args:
        read: makes rows, (positions·b, width), of what the layer below says of b examples.
        y: what the layer below says of all B examples, (below·B, its d_out).
        below: positions of the layer below.
        positions: rows of an example, R/B.
        width: numbers in a row, without the bias' one.
        examples: how many examples are in a block; the last block may hold fewer.
        bias: whether a one stands at the end of every row (default False).
    """

    read: Callable[[Any], Any]
    y: Any
    below: int
    positions: int
    width: int
    examples: int
    bias: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """(R, d̃)."""
        return self.positions * (self.y.shape[0] // self.below), self.width + self.bias

    @property
    def dtype(self) -> Any:
        """The dtype of the rows."""
        return self.y.dtype

    @property
    def T(self) -> "Turned":
        """X̃ᵀ, for the products X̃ᵀX̃ and X̃ᵀr."""
        return Turned(self)

    def with_ones(self) -> "RowBlocks":
        """Return x̃ = [x, 1]."""
        return replace(self, bias=True)

    def whole(self) -> Any:
        """Return all rows as one array, (R, d̃)."""
        return self._augmented(self.read(self.y))

    def parts(self) -> Iterator[tuple[slice, Any]]:
        """Yield the examples of each block, and the block's rows, (positions·b, d̃)."""
        count = self.y.shape[0] // self.below
        for first in range(0, count, self.examples):
            part = slice(first, min(first + self.examples, count))
            yield part, self._augmented(self.read(_of_examples(self.y, self.below, part)))

    def __matmul__(self, W: Any) -> Any:
        """Return X̃W̃, (R, d_out), in the memory order of the rows."""
        xp, d_out = array_namespace(W), W.shape[1]
        products = [xp.reshape(W.T @ x.T, (d_out, self.positions, -1)) for _, x in self.parts()]
        return xp.reshape(xp.concat(products, axis=2), (d_out, -1)).T

    def _augmented(self, x: Any) -> Any:
        if not self.bias:
            return x
        xp = array_namespace(x)
        ones = xp.ones((1, x.shape[0]), dtype=x.dtype, device=device(x))
        return xp.concat([x.T, ones], axis=0).T  # in the memory order of the rows


@dataclass(frozen=True)
class Turned:
    """X̃ᵀ of rows in blocks, (d̃, R).

    Args:
        rows: the rows.
    """

    rows: RowBlocks

    def __matmul__(self, other: Any) -> Any:
        """Return X̃ᵀX̃, (d̃, d̃), for the same rows, or X̃ᵀr, (d̃, d_out), for r (R, d_out)."""
        gram, positions = other is self.rows, self.rows.positions
        total: Any = None
        for part, x in self.rows.parts():
            product = x.T @ (x if gram else _of_examples(other, positions, part))
            if total is None:
                total = product
            else:
                total += product
        return total


def _of_examples(a: Any, positions: int, part: slice) -> Any:
    """Return the rows of some examples; rows are ordered (position, example), also in the result."""
    if positions == 1:
        return a[part, :]
    xp, width = array_namespace(a), a.shape[1]
    return xp.reshape(xp.reshape(a.T, (width, positions, -1))[:, :, part], (width, -1)).T


def examples_in(memory_limit: int, positions: int, width: int, number_size: int) -> int:
    """Return how many examples' rows fit into a memory limit, beside their copy with the bias; at least 1.

    Args:
        memory_limit: bytes.
        positions: rows of an example.
        width: numbers in a row, the bias' one included.
        number_size: bytes of a number.

    >>> examples_in(2**20, positions=784, width=26, number_size=4)
    6
    """
    return max(1, memory_limit // (2 * positions * width * number_size))


def whole(x: Any) -> Any:
    """Return rows as one array, whether they are in blocks or are one already."""
    return x.whole() if isinstance(x, RowBlocks) else x
