r"""The rows X̃ of a layer with many positions, in products alone: without a copy, or in blocks of examples.

A patch of 5×5 pixels repeats every pixel 25 times, so that the rows X̃ = [X, 1] of a convolution can be far
larger than what stands below and above it. The local problem of S, and the inner steps of M, need them only
in products, written `x.T @ x`, `x.T @ r` and `x @ W`. Two classes stand for X̃ there:

    KeptRows     holds X; the column of ones is no column, but a sum:

                     X̃ᵀX̃ = [XᵀX, Xᵀ1; 1ᵀX, R]        X̃ᵀr = [Xᵀr; 1ᵀr]        X̃W̃ = XW + b

    RowBlocks    makes X anew for every product, a block of examples at a time, and forgets it again:

                     X̃ᵀX̃ = Σ_blocks X̃_bᵀX̃_b           X̃ᵀr = Σ_blocks X̃_bᵀr_b

The sums over blocks also round less than one long sum does in single precision.

>>> import numpy as np
>>> from locoprop_ref.wirings import patches
>>> wiring, y = patches((1, 3, 3), size=2), np.arange(18.0).reshape(2, 9)
>>> x = RowBlocks(wiring.rows, y, below=1, positions=4, width=4, examples=1)
>>> bool(np.all(x.T @ x == wiring.rows(y).T @ wiring.rows(y)))
True
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from locoprop_ref.backend import array_namespace, device


class Rows(ABC):
    """The products of rows X̃, (R, d̃), and of their transpose, from the rows X of blocks of examples.

    Attributes:
        positions: rows of an example, R/B.
        bias: whether a one stands at the end of every row.
    """

    positions: int
    bias: bool

    @abstractmethod
    def parts(self) -> Iterator[tuple[slice, Any]]:
        """Yield the examples of each block, and the block's rows X_b, (positions·b, d), without the ones."""

    @property
    def T(self) -> "Turned":
        """X̃ᵀ, for the products X̃ᵀX̃ and X̃ᵀr."""
        return Turned(self)

    def __matmul__(self, W: Any) -> Any:
        """Return X̃W̃, (R, d_out), in the memory order of the rows."""
        xp, d_out = array_namespace(W), W.shape[1]
        weights = W[:-1, :].T if self.bias else W.T
        products = [xp.reshape(weights @ x.T, (d_out, self.positions, -1)) for _, x in self.parts()]
        a_hat = products[0] if len(products) == 1 else xp.concat(products, axis=2)
        a_hat = xp.reshape(a_hat, (d_out, -1)).T
        if self.bias:
            a_hat += W[-1, :]
        return a_hat

    def whole(self) -> Any:
        """Return all rows X̃ as one array, (R, d̃)."""
        parts = [x for _, x in self.parts()]
        xp, width = array_namespace(parts[0]), parts[0].shape[1]
        by_position = [xp.reshape(x.T, (width, self.positions, -1)) for x in parts]
        x = xp.reshape(xp.concat(by_position, axis=2), (width, -1))
        ones = xp.ones((int(self.bias), x.shape[1]), dtype=x.dtype, device=device(x))
        return xp.concat([x, ones], axis=0).T


@dataclass(frozen=True, eq=False)
class KeptRows(Rows):
    """The rows X̃ = [X, 1] of a layer, which hold X and no column of ones.

    Args:
        x: X, (R, d) rows.
        positions: rows of an example, R/B.
    """

    x: Any
    positions: int
    bias: bool = field(default=True, init=False)

    @property
    def shape(self) -> tuple[int, int]:
        """(R, d + 1)."""
        return self.x.shape[0], self.x.shape[1] + 1

    @property
    def dtype(self) -> Any:
        """The dtype of the rows."""
        return self.x.dtype

    def parts(self) -> Iterator[tuple[slice, Any]]:
        """Yield all examples, and X."""
        yield slice(0, self.x.shape[0] // self.positions), self.x


@dataclass(frozen=True, eq=False)
class RowBlocks(Rows):
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

    def with_ones(self) -> "RowBlocks":
        """Return x̃ = [x, 1]."""
        return replace(self, bias=True)

    def parts(self) -> Iterator[tuple[slice, Any]]:
        """Yield the examples of each block, and the block's rows, (positions·b, width)."""
        count = self.y.shape[0] // self.below
        for first in range(0, count, self.examples):
            part = slice(first, min(first + self.examples, count))
            yield part, self.read(_of_examples(self.y, self.below, part))


@dataclass(frozen=True)
class Turned:
    """X̃ᵀ of rows, (d̃, R).

    Args:
        rows: the rows.
    """

    rows: Rows

    def __matmul__(self, other: Any) -> Any:
        """Return X̃ᵀX̃, (d̃, d̃), for the same rows, or X̃ᵀr, (d̃, d_out), for r (R, d_out)."""
        total: Any = None
        for part, x in self.rows.parts():
            if other is self.rows:
                product = _gram(x, self.rows.bias)
            else:
                product = _turned_times(x, _of_examples(other, self.rows.positions, part), self.rows.bias)
            if total is None:
                total = product
            else:
                total += product
        return total


def _gram(x: Any, bias: bool) -> Any:
    # [XᵀX, Xᵀ1; 1ᵀX, R]
    gram = x.T @ x
    if not bias:
        return gram
    xp = array_namespace(x)
    sums = xp.sum(x, axis=0)[:, None]
    count = xp.full((1, 1), x.shape[0], dtype=x.dtype, device=device(x))
    return xp.concat([xp.concat([gram, sums], axis=1), xp.concat([sums.T, count], axis=1)], axis=0)


def _turned_times(x: Any, r: Any, bias: bool) -> Any:
    # [Xᵀr; 1ᵀr]
    xp = array_namespace(x)
    return xp.concat([x.T @ r, xp.sum(r, axis=0)[None, :]], axis=0) if bias else x.T @ r


def _of_examples(a: Any, positions: int, part: slice) -> Any:
    """Return the rows of some examples; rows are ordered (position, example), also in the result."""
    if part == slice(0, a.shape[0] // positions):
        return a
    if positions == 1:
        return a[part, :]
    xp, width = array_namespace(a), a.shape[1]
    return xp.reshape(xp.reshape(a.T, (width, positions, -1))[:, :, part], (width, -1)).T


def examples_in(memory_limit: int, positions: int, width: int, number_size: int) -> int:
    """Return how many examples a block may have, at least 1: two blocks' rows fit into a memory limit.

    One block is made while the one before it is still there.

    Args:
        memory_limit: bytes.
        positions: rows of an example.
        width: numbers in a row.
        number_size: bytes of a number.

    >>> examples_in(2**20, positions=784, width=25, number_size=4)
    6
    """
    return max(1, memory_limit // (2 * positions * width * number_size))


def whole(x: Any) -> Any:
    """Return rows as one array, whether they are for products alone or an array already."""
    return x.whole() if isinstance(x, Rows) else x
