r"""A layer: the rows of its input, its pre-activation, and the way back to the layer below.

A layer takes what the layer below says, y, and goes through four steps:

    x = rows(y)              (R, d_in)     the rows that its weights act on
    â = xW + b = x̃W̃          (R, d_out)    pre-activation
    ŷ = f(â)                 (R, d_out)    post-activation
    pull_back(g, y)          ∂L/∂y, from g = ∂L/∂â

In a dense layer the rows are the examples, R = B. A layer with a wiring (see `wirings`) has a row for every
position, such as a patch of an image, or for every step of a sequence. A recurrent layer reads its own output
as well: its rows are [x_t, h_{t−1}], and its weights [W_x; W_h].

The bias is one more input that is always 1: with x̃ = [x, 1] and W̃ = [W; b], xW + b = x̃W̃. A layer that has
been made from W̃ keeps it, and its W and b are views of it, so that a training step copies no weights.

>>> import numpy as np
>>> from locoprop_ref.transfers import transfer
>>> layer = Layer(np.ones((3, 2)), np.zeros(2), transfer("tanh"))
>>> layer.augment(np.ones((4, 3))).shape, layer.stacked.shape
((4, 4), (4, 2))
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from locoprop_ref import checks
from locoprop_ref.backend import array_namespace, device
from locoprop_ref.blocks import KeptRows, RowBlocks, examples_in
from locoprop_ref.transfers import Transfer
from locoprop_ref.wirings import Wiring


@dataclass(frozen=True)
class Layer:
    r"""One layer ŷ = f(xW + b): dense, or with one row for every position or step.

    Args:
        W: (d_in, d_out) weights.
        b: (d_out,) bias, or None for a layer without one.
        transfer: its transfer function f.
        wiring: which outputs below stand in the rows; None (default) for a dense layer.
        recurrent: whether the positions are steps, and each row ends with the layer's output one step before
            (Elman 1990); default False.
        initial_state: (d_out,) output before the first step of a recurrent layer; None (default) for zeros.

    Raises:
        TypeError, ValueError: W is no matrix of floats, b or the wiring does not fit it, transfer is no
            Transfer, or a recurrent layer has no wiring.
    """

    W: Any
    b: Any
    transfer: Transfer
    wiring: Wiring | None = None
    recurrent: bool = False
    initial_state: Any = None
    # W̃, if the layer was made from it
    _stacked: Any = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        checks.array("W", self.W, ndim=2)
        if self.b is not None:
            checks.array("b", self.b, shape=(self.W.shape[1],))
            checks.same_dtype(W=self.W, b=self.b)
        checks.instance("transfer", self.transfer, Transfer, "a Transfer, as transfer('tanh') makes")
        checks.keep(self, checks.boolean, "recurrent")
        if self.wiring is not None:
            self._check_wiring(self.wiring)
        elif self.recurrent:
            raise ValueError("wiring must be given for a recurrent layer, as steps((28, 28)), got None")
        if self.initial_state is not None:
            if not self.recurrent:
                raise ValueError("initial_state has no meaning without recurrent")
            checks.array("initial_state", self.initial_state, shape=(self.W.shape[1],))
            checks.same_dtype(W=self.W, initial_state=self.initial_state)

    def _check_wiring(self, wiring: Wiring) -> None:
        checks.instance("wiring", wiring, Wiring, "a Wiring, as patches((1, 28, 28), 5) makes")
        wanted = wiring.width + self.recurrent * self.W.shape[1]
        if self.W.shape[0] != wanted:
            raise ValueError(f"W must have the {wanted} rows that its wiring makes, got {self.W.shape[0]}")

    @property
    def inputs(self) -> int:
        """How many numbers of the layer below, or of an example, the layer reads."""
        return self.W.shape[0] if self.wiring is None else self.wiring.size

    @property
    def positions(self) -> int:
        """How many rows the layer has for an example, R/B: 1 for a dense layer."""
        return 1 if self.wiring is None else self.wiring.positions

    @property
    def stacked(self) -> Any:
        """The weights W̃ = [W; b], (d_in + 1, d_out); without bias W itself, (d_in, d_out)."""
        if self.b is None:
            return self.W
        if self._stacked is not None:
            return self._stacked
        return array_namespace(self.W, self.b).concat([self.W, self.b[None, :]], axis=0)

    def with_stacked(self, W: Any) -> "Layer":
        """Return the layer with other weights, whose W and b are views of W̃: the inverse of `stacked`.

        Args:
            W: W̃, in the shape, dtype and library of `stacked`.

        Raises:
            ValueError, TypeError: W̃ has another shape, dtype or library.
        """
        checks.like("W", W, self.stacked)
        layer = object.__new__(Layer)
        whole = self.b is None
        parts = {"W": W if whole else W[:-1, :], "b": None if whole else W[-1, :], "_stacked": W}
        layer.__dict__.update({**self.__dict__, **parts})
        return layer

    def through(self, y: Any, memory_limit: int | None = None) -> tuple[Any, Any, Any]:
        """Return the rows x, the pre-activation â and the post-activation ŷ.

        Args:
            y: what the layer below says, (R of that layer, its d_out), or the batch, (B, d_0).
            memory_limit: bytes of x beyond which it is made in blocks of examples, see `row_blocks`; None
                (default) for no limit.
        """
        if self.recurrent:
            return self._through_time(y)
        x = self.row_blocks(y, memory_limit)
        x = self.rows(y) if x is None else x
        a_hat = self.pre_activation(x)
        return x, a_hat, self.transfer.f(a_hat)

    def _through_time(self, y: Any) -> tuple[Any, Any, Any]:
        """Return x, â and ŷ of all steps; rows are ordered (step, example)."""
        xp, read = array_namespace(y), self._wiring.rows(y)
        W_x, W_h = self.W[: self._wiring.width, :], self.W[self._wiring.width :, :]
        driven = W_x.T @ read.T  # of all steps at once, (d_out, T·B)
        if self.b is not None:
            driven += self.b[:, None]
        batch = read.shape[0] // self.positions
        h = self._initial(batch, xp)
        before, a_hats, said = [], [], []
        for t in range(self.positions):
            before.append(h.T)
            a_hats.append((driven[:, t * batch : (t + 1) * batch] + W_h.T @ h.T).T)
            h = self.transfer.f(a_hats[-1])
            said.append(h)
        x = xp.concat([read.T, xp.concat(before, axis=1)], axis=0).T
        return x, _by_steps(a_hats, xp), _by_steps(said, xp)

    def _initial(self, batch: int, xp: Any) -> Any:
        """Return the output before the first step, (B, d_out)."""
        state = self.initial_state
        if state is None:
            state = xp.zeros(self.W.shape[1], dtype=self.W.dtype, device=device(self.W))
        return xp.broadcast_to(state, (batch, self.W.shape[1]))

    @property
    def _wiring(self) -> Wiring:
        assert self.wiring is not None  # noqa: S101  # a recurrent layer has one
        return self.wiring

    def rows(self, y: Any) -> Any:
        """Return the rows x of the layer's input, (R, d_in): for a dense layer y itself, R = B.

        Args:
            y: what the layer below says, (R of that layer, its d_out), or the batch, (B, d_0).
        """
        if self.wiring is None:
            return y
        return self._through_time(y)[0] if self.recurrent else self.wiring.rows(y)

    def row_blocks(self, y: Any, memory_limit: int | None) -> RowBlocks | None:
        """Return the rows in blocks of examples, or None where all rows fit into the memory limit.

        The rows of a dense layer are what the layer below says, which is kept anyway, and those of a
        recurrent one are about as many numbers as its outputs: both are always kept, and None is returned.

        Args:
            y: what the layer below says, (R of that layer, its d_out), or the batch, (B, d_0).
            memory_limit: bytes for the rows of the layer; None for no limit.
        """
        if self.wiring is None or self.recurrent or memory_limit is None:
            return None
        wiring, width = self.wiring, self.wiring.width
        size = array_namespace(y).finfo(y.dtype).bits // 8
        count = y.shape[0] // wiring.below
        if count * wiring.positions * width * size <= memory_limit:
            return None
        block = examples_in(memory_limit, wiring.positions, width, size)
        return RowBlocks(wiring.rows, y, wiring.below, wiring.positions, wiring.width, block)

    def augment(self, x: Any, *, copy: bool = True) -> Any:
        """Return x̃, (R, d_in + 1): x with a last column of ones; without bias x itself, (R, d_in).

        Args:
            x: (R, d_in) rows of the layer's input.
            copy: False for use in products alone: the rows of many positions, which are large, are then not
                copied, see `blocks.KeptRows`; default True.
        """
        if self.b is None:
            return x
        if isinstance(x, RowBlocks):
            return x.with_ones()
        if self.positions > 1 and not copy:
            return KeptRows(x, self.positions)
        xp = array_namespace(x)
        return xp.concat([x, xp.ones((x.shape[0], 1), dtype=x.dtype, device=device(x))], axis=1)

    def gradient(self, x: Any, g: Any) -> Any:
        """Return ∂L/∂W̃ = X̃ᵀg, (d_in + 1, d_out); without bias xᵀg, (d_in, d_out).

        Args:
            x: (R, d_in) rows of the layer's input.
            g: (R, d_out), ∂L/∂â.
        """
        return self.augment(x, copy=False).T @ g

    def pre_activation(self, x: Any) -> Any:
        """Return â = xW + b, (R, d_out); nothing is checked here (`forward` does).

        Args:
            x: (R, d_in) rows of the layer's input.
        """
        # with positions in the memory order of the rows, in which the next wiring reads
        flat = self.positions == 1 or isinstance(x, RowBlocks)  # which keeps to that order by itself
        a_hat = x @ self.W if flat else (self.W.T @ x.T).T
        if self.b is not None:
            a_hat += self.b
        return a_hat

    def total(self, a_hat: Any, above: Any) -> Any:
        r"""Return g = ∂L/∂â, (R, d_out), from ∂L/∂ŷ as the layers above have it.

        In a recurrent layer ŷ_t = h_t also stands in the row of the next step. From the last step back,

            g_t = (∂L/∂h_t + g_{t+1} W_hᵀ) f′(â_t).

        Args:
            a_hat: (R, d_out), pre-activation.
            above: (R, d_out), what the layer above pulls back.
        """
        if not self.recurrent:
            return self.transfer.vjp(a_hat, above)
        W_h, batch = self.W[self._wiring.width :, :], a_hat.shape[0] // self.positions
        g: list[Any] = []
        for t in reversed(range(self.positions)):
            rows = slice(t * batch, (t + 1) * batch)
            later = above[rows, :] if not g else above[rows, :] + g[-1] @ W_h.T
            g.append(self.transfer.vjp(a_hat[rows, :], later))
        return _by_steps(g[::-1], array_namespace(a_hat))

    def pull_back(self, g: Any, y: Any = None) -> Any:
        """Return ∂L/∂y for what the layer below said: for a dense layer gWᵀ.

        Args:
            g: (R, d_out), ∂L/∂â.
            y: what the layer below said; only a maximum in the wiring needs it (default None).
        """
        if self.wiring is None:
            return g @ self.W.T
        return self.wiring.pull_back((self.W[: self.wiring.width, :] @ g.T).T, y)


def _by_steps(parts: Sequence[Any], xp: Any) -> Any:
    """Return the rows of all steps, (T·B, d), in memory (d, T·B)."""
    return xp.concat([part.T for part in parts], axis=1).T
