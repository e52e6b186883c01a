r"""Wirings: which outputs of the layer below stand in the rows of a layer.

A convolution is a dense layer whose rows are the patches of an image; the rows of a recurrent layer are the
steps of a sequence. Every position, or step, is one more row of the same affine map, and of the same local
problem. A wiring makes these rows, and takes derivatives with respect to them back to the layer below.

Memory order decides the speed. Rows are ordered (position, example), and an example is (channel, position),
so that yᵀ, read in memory order, has one example in every column:

    z = yᵀ as (S, B)           S = channels · positions numbers of each of B examples
    read(z)                    gather: rows of z, by a table of their numbers; padding reads zero
    turn(u)                    its adjoint, ⟨read(z), u⟩ = ⟨z, turn(u)⟩: the table turned round, which is a
                               sum of gathers and never a scatter

Every entry of a table moves B neighbouring numbers.

>>> import numpy as np
>>> wiring = patches((1, 3, 3), size=2)
>>> wiring.rows(np.arange(9.0)[None, :])[:2]
array([[0., 1., 3., 4.],
       [1., 2., 4., 5.]])
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from math import prod
from typing import Any, Literal, get_args

import numpy as np

from locoprop_ref import checks
from locoprop_ref.backend import array_namespace, device, to_backend

_MOST_PIXELS = 1 << 28  # of an image with its padding, whose table takes 8 bytes for each

Pooling = Literal["mean", "max"]
POOLINGS: tuple[str, ...] = get_args(Pooling)


@dataclass(frozen=True, eq=False)
class Gather:
    """Rows of z by a table of their numbers, and the table turned round.

    Args:
        table: (n,) integers from 0 to S; row S is zero (padding).
        size: S.
    """

    table: np.ndarray
    size: int
    _moved: dict[Any, tuple[Any, list[Any]]] = field(init=False, repr=False, default_factory=dict)

    @cached_property
    def turned(self) -> tuple[np.ndarray, list[np.ndarray]]:
        """Where in the table each row of z stands, as (rank, places).

        The rows of z are ranked by how often the table names them, most often first, so that places[k], the
        k-th place of every row that has one, is a beginning of that order: there is nothing to fill up.
        rank, (S,), has the rank of every row, and len(places[0]) for those that the table never names.
        """
        order = np.argsort(self.table, kind="stable")
        count = np.bincount(self.table, minlength=self.size + 1)[: self.size]
        first = np.cumsum(count) - count
        ranked = np.argsort(-count, kind="stable")
        named = [ranked[: np.count_nonzero(count > k)] for k in range(max(1, int(count.max(initial=0))))]
        rank = np.full(self.size, len(named[0]))
        rank[named[0]] = np.arange(len(named[0]))
        return rank, [order[first[rows] + k] for k, rows in enumerate(named)]

    @cached_property
    def _padded(self) -> bool:
        return bool(np.any(self.table == self.size))

    @cached_property
    def _ranked(self) -> bool:
        return bool(np.any(self.turned[0] != np.arange(self.size)))

    @cached_property
    def _unnamed(self) -> bool:
        return bool(np.any(self.turned[0] == len(self.turned[1][0])))

    def read(self, z: Any) -> Any:
        """Return the rows of z, (S, B), that the table names: (n, B)."""
        table, _ = self._on_device_of(z)
        return array_namespace(z).take(_with_zero(z) if self._padded else z, table, axis=0)

    def turn(self, u: Any) -> Any:
        """Return the adjoint: for each row of z the sum of the rows of u, (n, B), that it went to: (S, B)."""
        xp, (_, (rank, *places)) = array_namespace(u), self._on_device_of(u)
        *others, fewest = places
        total = xp.take(u, fewest, axis=0)
        for numbers in reversed(others):  # of more and more rows
            more, n = xp.take(u, numbers, axis=0), total.shape[0]
            if more.shape[0] == n:
                total += more
            else:
                total = xp.concat([more[:n, :] + total, more[n:, :]], axis=0)
        if self._unnamed:
            total = _with_zero(total)
        return xp.take(total, rank, axis=0) if self._ranked else total

    def _on_device_of(self, z: Any) -> tuple[Any, list[Any]]:
        """Return the table and the turned tables as integer arrays of the library and the device of z."""
        xp, where = array_namespace(z), device(z)
        key = (xp.__name__, str(where))
        if key not in self._moved:
            rank, places = self.turned
            tables = [to_backend(t, xp=xp, dtype="int32", device=where) for t in (self.table, rank, *places)]
            self._moved[key] = (tables[0], tables[1:])
        return self._moved[key]


def _with_zero(z: Any) -> Any:
    """Return z with a row of zeros at its end."""
    xp = array_namespace(z)
    return xp.concat([z, xp.zeros((1, z.shape[1]), dtype=z.dtype, device=device(z))], axis=0)


@dataclass(frozen=True, eq=False)
class Reading:
    """One stage of a wiring: a gather that stands in the rows as it is.

    Args:
        gather: the gather.
    """

    gather: Gather

    def read(self, z: Any) -> Any:
        """Return what the next stage reads, (n, B)."""
        return self.gather.read(z)

    def turn(self, u: Any, z: Any) -> Any:
        """Return the adjoint applied to u, (S, B); z is not needed."""
        return self.gather.turn(u)


@dataclass(frozen=True, eq=False)
class Pool:
    """One stage of a wiring: the mean or the maximum of every window.

    Args:
        windows: a gather of k·n rows, for each of k places in a window the n windows.
        count: k.
        kind: "mean", or "max", whose derivative goes to the first of the largest.
    """

    windows: Gather
    count: int
    kind: Pooling

    def read(self, z: Any) -> Any:
        """Return the pooled windows, (n, B)."""
        xp = array_namespace(z)
        values = xp.reshape(self.windows.read(z), (self.count, -1, z.shape[1]))
        return xp.mean(values, axis=0) if self.kind == "mean" else xp.max(values, axis=0)

    def turn(self, u: Any, z: Any) -> Any:
        """Return the derivative with respect to z, (S, B), from that with respect to the pooled windows."""
        xp = array_namespace(u)
        shape = (self.count, *u.shape)
        if self.kind == "mean":
            spread = xp.broadcast_to(u / self.count, shape)
        else:
            values = xp.reshape(self.windows.read(z), shape)
            place = xp.reshape(xp.arange(self.count, device=device(u)), (-1, 1, 1))
            spread = xp.where(place == xp.argmax(values, axis=0), u, xp.zeros_like(u))
        return self.windows.turn(xp.reshape(spread, (-1, u.shape[1])))


@dataclass(frozen=True)
class Wiring:
    """What a layer reads of the layer below: rows of `width` numbers, one for each of `positions`.

    Make one with `patches`, `pool`, `flatten`, `steps`, `every_step` or `last_step`; put one after another by
    `then`. Two wirings are equal if they were made in the same way.

    Args:
        below: positions of the layer below, R/B of its output; 1 for a batch and for dense layers.
        channels: numbers of the layer below at each position; below · channels = S.
        stages: gathers and poolings, in their order.
        shape: what an example is for the next wiring: (channels, positions...), channels first.
        width: d, numbers in a row.
        recipe: the functions that made it, each with its arguments, as `from_recipe` takes them.
    """

    below: int
    channels: int
    stages: tuple[Reading | Pool, ...] = field(compare=False, repr=False)
    shape: tuple[int, ...]
    width: int
    recipe: tuple[tuple[Any, ...], ...]

    @property
    def size(self) -> int:
        """S, the numbers of an example below."""
        return self.below * self.channels

    @property
    def positions(self) -> int:
        """How many rows an example has: R/B."""
        return prod(self.shape) // self.width

    def rows(self, y: Any) -> Any:
        """Return the rows, (positions·B, d), of what the layer below says, y (below·B, channels)."""
        z = self._read(y)[-1]
        return array_namespace(z).reshape(z, (self.width, -1)).T

    def pull_back(self, u: Any, y: Any = None) -> Any:
        """Return ∂L/∂y, (below·B, channels), from u = ∂L/∂x, (positions·B, d).

        Args:
            u: derivative with respect to the rows.
            y: what the rows were read from; only a maximum needs it (default None).

        Raises:
            ValueError: a maximum without y.
        """
        xp, batch = array_namespace(u), u.shape[0] // self.positions
        looks = any(isinstance(stage, Pool) and stage.kind == "max" for stage in self.stages)
        if looks and y is None:
            raise ValueError("y must be what the rows were read from where a maximum is taken, got None")
        seen = self._read(y) if looks else [None] * len(self.stages)
        z = xp.reshape(u.T, (-1, batch))
        for stage, before in zip(reversed(self.stages), reversed(seen[: len(self.stages)]), strict=True):
            z = stage.turn(z, before)
        return xp.reshape(z, (self.channels, -1)).T

    def then(self, after: "Wiring") -> "Wiring":
        """Return the wiring that reads what this one makes.

        Raises:
            ValueError: the other one reads another number of numbers.
        """
        checks.instance("after", after, Wiring, "a Wiring, as flatten makes")
        if prod(self.shape) != after.size:
            raise ValueError(
                f"after must read the {prod(self.shape)} numbers of {self.shape}, got {after.size}"
            )
        stages, recipe = self.stages + after.stages, self.recipe + after.recipe
        return Wiring(self.below, self.channels, stages, after.shape, after.width, recipe)

    def _read(self, y: Any) -> list[Any]:
        """Return z before every stage, and after the last."""
        xp = array_namespace(y)
        seen = [xp.reshape(y.T, (self.size, -1))]
        for stage in self.stages:
            seen.append(stage.read(seen[-1]))
        return seen


def _made(
    recipe: tuple[Any, ...], stages: tuple[Reading | Pool, ...], after: tuple[int, ...], width: int
) -> Wiring:
    """Return a wiring that reads a flat example of the shape that stands first in the recipe's arguments."""
    return Wiring(1, prod(recipe[1]), stages, after, width, (recipe,))


def patches(shape: Sequence[int], size: int, stride: int = 1, padding: int = 0) -> Wiring:
    """Return the wiring of a convolution: a row for every patch, (channel, kernel row, kernel column).

    Args:
        shape: (channels, height, width) of an example.
        size: of the square kernel.
        stride: from one patch to the next, default 1.
        padding: rows and columns of zeros around the image, default 0.

    Raises:
        ValueError, TypeError: no such shape, or a kernel that is larger than the padded image.

    >>> patches((3, 8, 8), 5, padding=2).shape, patches((3, 8, 8), 5, padding=2).width
    ((75, 8, 8), 75)
    """
    C, H, W = _image(shape)
    size, stride, padding = _window(size, stride, padding)
    windows = _windows(H, W, size, stride, padding)  # (size², positions), H·W for padding
    places = np.arange(C)[:, None, None] * (H * W) + windows
    table = np.where(windows == H * W, C * H * W, places)
    after = (C * size**2, *_reduced(H, W, size, stride, padding))
    stage = Reading(Gather(table.reshape(-1), C * H * W))
    return _made(("patches", (C, H, W), size, stride, padding), (stage,), after, C * size**2)


def pool(shape: Sequence[int], size: int, kind: Pooling = "mean", stride: int | None = None) -> Wiring:
    """Return the wiring that takes the mean or the maximum of every window, channel by channel.

    Args:
        shape: (channels, height, width) of an example.
        size: of the square windows.
        kind: "mean" (default) or "max".
        stride: from one window to the next, default its size.

    Raises:
        ValueError, TypeError: no such shape or kind, or a window that is larger than the image.

    >>> import numpy as np
    >>> pool((1, 2, 2), 2, kind="max").rows(np.array([[3.0, 1.0, 2.0, 0.0]]))
    array([[3.]])
    """
    C, H, W = _image(shape)
    checks.one_of("kind", kind, POOLINGS)
    size, stride, _ = _window(size, size if stride is None else stride, 0)
    windows = _windows(H, W, size, stride, 0)
    table = np.arange(C)[None, :, None] * (H * W) + windows[:, None, :]
    after = (C, *_reduced(H, W, size, stride, 0))
    stage = Pool(Gather(table.reshape(-1), C * H * W), size**2, kind)
    return _made(("pool", (C, H, W), size, kind, stride), (stage,), after, C)


def flatten(shape: Sequence[int]) -> Wiring:
    """Return the wiring of a dense layer above one with positions: one row with all numbers of an example.

    >>> flatten((16, 5, 5)).width
    400
    """
    sizes = _sizes(shape)
    return _made(("flatten", sizes), (), (prod(sizes),), prod(sizes))


def steps(shape: Sequence[int]) -> Wiring:
    """Return the wiring of a recurrent layer on a sequence: a row for every step.

    Args:
        shape: (steps, d), the numbers of a flat example in this order.

    >>> import numpy as np
    >>> steps((2, 3)).rows(np.arange(6.0)[None, :])
    array([[0., 1., 2.],
           [3., 4., 5.]])
    """
    T, d = _pair(shape)
    table = np.arange(T * d).reshape(T, d).T
    return _made(("steps", (T, d)), (Reading(Gather(table.reshape(-1), T * d)),), (d, T), d)


def every_step(shape: Sequence[int]) -> Wiring:
    """Return the wiring of a layer that reads every step of a recurrent layer, whose shape is (d, steps)."""
    d, T = _pair(shape)
    return _made(("every_step", (d, T)), (), (d, T), d)


def last_step(shape: Sequence[int]) -> Wiring:
    """Return the wiring of a dense layer that reads the last step of a recurrent layer, (d, steps).

    >>> import numpy as np
    >>> last_step((2, 3)).rows(np.arange(6.0)[None, :])
    array([[2., 5.]])
    """
    d, T = _pair(shape)
    last = Reading(Gather(np.arange(d) * T + T - 1, d * T))
    return _made(("last_step", (d, T)), (last,), (d,), d)


def above(wiring: Wiring, positions: int) -> Wiring:
    """Return a wiring as it reads a layer with positions instead of a flat example.

    Args:
        wiring: it reads the same numbers, channels first.
        positions: of the layer below.

    Raises:
        ValueError: its numbers are no multiple of the positions.
    """
    checks.instance("wiring", wiring, Wiring, "a Wiring, as patches makes")
    positions = checks.integer("positions", positions)
    if wiring.size % positions:
        raise ValueError(f"positions must divide the {wiring.size} numbers of an example, got {positions}")
    return replace(wiring, below=positions, channels=wiring.size // positions)


MAKERS: dict[str, Callable[..., Wiring]] = {
    "patches": patches, "pool": pool, "flatten": flatten,
    "steps": steps, "every_step": every_step, "last_step": last_step,
}  # fmt: skip


def from_recipe(recipe: Sequence[Sequence[Any]], below: int = 1) -> Wiring:
    """Return the wiring of a recipe: the inverse of `Wiring.recipe`, for files.

    Args:
        recipe: for each part the name of its function in `MAKERS`, and its arguments.
        below: positions of the layer below, default 1.

    Raises:
        ValueError, TypeError: no such function, or arguments that it does not take.

    >>> wiring = pool((1, 4, 4), 2).then(flatten((1, 2, 2)))
    >>> from_recipe(wiring.recipe) == wiring
    True
    """
    if not recipe:
        raise ValueError("recipe must hold at least one part, got none")
    parts = [MAKERS[checks.one_of("recipe", name, MAKERS)](*arguments) for name, *arguments in recipe]
    return above(reduce(Wiring.then, parts), checks.integer("below", below))


def _sizes(shape: Any) -> tuple[int, ...]:
    if isinstance(shape, str | bytes) or not isinstance(shape, Sequence | np.ndarray) or not len(shape):
        raise TypeError(f"shape must be a sequence of sizes, got {checks.shown(shape)}")
    return tuple(checks.integer("shape", size) for size in shape)


def _pair(shape: Sequence[int]) -> tuple[int, int]:
    sizes = _sizes(shape)
    if len(sizes) != 2:
        raise ValueError(f"shape must be two sizes, of the steps and of a step, got {sizes}")
    return sizes[0], sizes[1]


def _image(shape: Sequence[int]) -> tuple[int, ...]:
    sizes = _sizes(shape)
    if len(sizes) != 3:
        raise ValueError(f"shape must be (channels, height, width), got {sizes}")
    return sizes


def _window(size: int, stride: int, padding: int) -> tuple[int, int, int]:
    """Return the three as plain numbers: NumPy's own could overflow, and no file takes them."""
    return (
        checks.integer("size", size),
        checks.integer("stride", stride),
        checks.integer("padding", padding, minimum=0),
    )


def _reduced(H: int, W: int, size: int, stride: int, padding: int) -> tuple[int, int]:
    """Return how many windows fit into the padded image, by rows and by columns."""
    if size > min(H, W) + 2 * padding:
        raise ValueError(
            f"size must be at most that of the image, {H}x{W} with padding {padding}, got {size}"
        )
    if (H + 2 * padding) * (W + 2 * padding) > _MOST_PIXELS:
        raise ValueError(f"padding must make an image of at most {_MOST_PIXELS} pixels, got {padding}")
    return (H + 2 * padding - size) // stride + 1, (W + 2 * padding - size) // stride + 1


def _windows(H: int, W: int, size: int, stride: int, padding: int) -> np.ndarray:
    """Return the pixels of every window, (size², positions), row by row; H·W stands for the padding."""
    rows, columns = _reduced(H, W, size, stride, padding)
    image = np.full((H + 2 * padding, W + 2 * padding), H * W)
    image[padding : padding + H, padding : padding + W] = np.arange(H * W).reshape(H, W)
    row = stride * np.arange(rows)[:, None] + np.arange(size)[:, None, None, None]
    column = stride * np.arange(columns) + np.arange(size)[:, None, None]
    return image[row, column].reshape(size**2, rows * columns)
