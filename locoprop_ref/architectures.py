r"""An architecture in words: the layers of a network as a string, and what each of them reads.

    784-1000-500-30             dense layers, by their widths
    28x28x1-c5x6+2-p2-120-10    an image of height 28, width 28 and 1 channel; then
                                cSxC     convolution with C kernels of S×S; /2 stride, +2 padding
                                pS, mS   mean, maximum of windows of S×S; /2 stride (default S)
                                N        dense, on all numbers of an example
    28x28-r64-10                a sequence of 28 steps of 28 numbers; then
                                rN       recurrent, N numbers at every step
                                N        dense, on the last step

>>> for plan in architecture("28x28x1-c5x6+2-p2-10"):
...     print(plan.d_in, plan.d_out, plan.positions)
25 6 784
1176 10 1
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from math import prod

from locoprop_ref import checks
from locoprop_ref.wirings import (
    Pooling,
    Wiring,
    above,
    every_step,
    flatten,
    last_step,
    patches,
    pool,
    steps,
)

_WORD = re.compile(
    r"(?P<kind>[cpmr]?)(?P<number>[1-9]\d*)(x(?P<channels>[1-9]\d*))?"
    r"(/(?P<stride>[1-9]\d*))?(\+(?P<padding>\d+))?",
    re.ASCII,
)
_WANTED = (
    "layers must be widths joined by hyphens (784-100-784), or words such as 28x28x1, c5x6/2+2, p2, m2, r64"
)
# what may follow the number, by the kind of a word
_MAY_HAVE = {"c": {"channels", "stride", "padding"}, "p": {"stride"}, "m": {"stride"}, "r": set(), "": set()}


@dataclass(frozen=True)
class LayerPlan:
    """One layer of an architecture, before there are weights.

    Attributes:
        d_in: rows of W, without the bias.
        d_out: columns of W.
        wiring: what the layer reads; None for a dense layer on flat examples.
        recurrent: whether it reads its own output.
        fans: numbers that an output depends on, and outputs that an input has a part in, for the initial
            weights: for a kernel of S×S both are S² times the channels.
    """

    d_in: int
    d_out: int
    wiring: Wiring | None = None
    recurrent: bool = False
    fans: tuple[int, int] = (0, 0)

    @property
    def positions(self) -> int:
        """Rows for an example."""
        return 1 if self.wiring is None else self.wiring.positions

    @property
    def inputs(self) -> int:
        """Numbers that the layer reads."""
        return self.d_in if self.wiring is None else self.wiring.size


@dataclass(frozen=True)
class _Reading:
    """What the next layer finds: an example's shape, its positions, and the pooling that waits."""

    shape: tuple[int, ...]
    kind: str  # "flat", "image", "sequence" (steps, d) or "states" (d, steps)
    positions: int
    pooled: Wiring | None = None

    def wired(self, wiring: Wiring) -> Wiring:
        """Return a wiring behind the pooling, above the positions of the layer below."""
        return above(self.pooled.then(wiring) if self.pooled else wiring, self.positions)


def architecture(words: str) -> tuple[LayerPlan, ...]:
    """Return the layers that a string names.

    Raises:
        ValueError: a word of another form, or one that does not go with what stands before it; the sentence
            names the word.
    """
    long = max(map(len, re.findall(r"\d+", words)), default=0)
    if long > 18:  # no machine holds the weights of such a layer
        raise ValueError(f"layers must have numbers of at most 18 digits, got one of {long}")
    first, *rest = words.split("-")
    reading, plans = _input(first, words), []
    for word in rest:
        found = _word(word, words)
        number, stride = int(found["number"]), int(found["stride"]) if found["stride"] else None
        match found["kind"]:
            case "p" | "m":
                reading = _pooled(reading, number, "mean" if found["kind"] == "p" else "max", stride, word)
                continue
            case "c":
                shape, padding = _image(reading, word), int(found["padding"] or 0)
                with _of(word):
                    wiring = patches(shape, number, stride=stride or 1, padding=padding)
                channels = int(found["channels"])
                after = _Reading((channels, *wiring.shape[1:]), "image", wiring.positions)
                plans.append(
                    _plan(reading.wired(wiring), channels, fans=(wiring.width, number**2 * channels))
                )
            case "r":
                wiring = reading.wired(_steps(reading, word))
                after = _Reading((number, wiring.positions), "states", wiring.positions)
                plans.append(_plan(wiring, number, recurrent=True))
            case _:
                after = _Reading((number,), "flat", 1)
                plans.append(_dense(reading, number))
        reading = after
    if not plans:
        raise ValueError(f"{_WANTED}, got {checks.shown(words)}")
    if reading.positions != 1 or reading.pooled:
        raise ValueError(f"layers must end with a dense layer, such as 10, got {checks.shown(words)}")
    return tuple(plans)


def _word(word: str, words: str) -> re.Match[str]:
    found = _WORD.fullmatch(word)
    if found:
        given = {name for name in ("channels", "stride", "padding") if found[name]}
        if given <= _MAY_HAVE[found["kind"]] and ("channels" in given) == (found["kind"] == "c"):
            return found
    raise ValueError(f"{_WANTED}, got {checks.shown(word)} in {checks.shown(words)}")


def _plan(
    wiring: Wiring, d_out: int, *, recurrent: bool = False, fans: tuple[int, int] | None = None
) -> LayerPlan:
    d_in = wiring.width + recurrent * d_out
    return LayerPlan(d_in, d_out, wiring, recurrent, fans or (d_in, d_out))


def _input(word: str, words: str) -> _Reading:
    found = re.fullmatch(r"([1-9]\d*)(x([1-9]\d*))?(x([1-9]\d*))?", word, re.ASCII)
    if not found:
        raise ValueError(f"{_WANTED}, got {checks.shown(word)} in {checks.shown(words)}")
    sizes = tuple(int(size) for size in (found[1], found[3], found[5]) if size)
    if len(sizes) == 3:
        return _Reading((sizes[2], sizes[0], sizes[1]), "image", 1)
    return _Reading(sizes, "flat" if len(sizes) == 1 else "sequence", 1)


@contextmanager
def _of(word: str) -> Iterator[None]:
    """Say of which word the sentence of a wiring is, which knows none."""
    try:
        yield
    except ValueError as error:
        raise ValueError(
            f"layers must have words that fit each other, but in {checks.shown(word)} {error}"
        ) from None


def _image(reading: _Reading, word: str) -> tuple[int, ...]:
    if reading.kind != "image":
        raise ValueError(
            f"layers must have an image before {checks.shown(word)}, as 28x28x1 or a convolution gives"
        )
    return reading.shape


def _pooled(reading: _Reading, size: int, kind: Pooling, stride: int | None, word: str) -> _Reading:
    shape = _image(reading, word)
    with _of(word):
        wiring = pool(shape, size, kind=kind, stride=stride)
    pooled = reading.pooled.then(wiring) if reading.pooled else wiring
    return _Reading(wiring.shape, "image", reading.positions, pooled)


def _steps(reading: _Reading, word: str) -> Wiring:
    if reading.kind not in ("sequence", "states"):
        raise ValueError(
            f"layers must have a sequence before {checks.shown(word)}, as 28x28 or a recurrent layer gives"
        )
    return steps(reading.shape) if reading.kind == "sequence" else every_step(reading.shape)


def _dense(reading: _Reading, number: int) -> LayerPlan:
    if reading.positions == 1 and reading.pooled is None:
        return dense((prod(reading.shape), number))[0]
    read = last_step if reading.kind == "states" else flatten
    return _plan(reading.wired(read(reading.shape)), number)


def dense(widths: Sequence[int]) -> tuple[LayerPlan, ...]:
    """Return the plans of dense layers, d_0 → d_1 → ... → d_M.

    >>> [(plan.d_in, plan.d_out) for plan in dense((8, 3, 1))]
    [(8, 3), (3, 1)]
    """
    return tuple(LayerPlan(d_in, d_out, fans=(d_in, d_out)) for d_in, d_out in pairwise(widths))


def resized(words: str, width: float, depth: int, *, largest: int = 10**18, most: int = 10_000) -> str:
    """Return an architecture with wider or narrower hidden layers, and with one of them repeated.

    Args:
        words: the architecture.
        width: factor of the width, the channels or the states of every hidden layer; at least 1 remains.
        depth: how many times every hidden layer of the second one's width stands there; 1 changes nothing.
        largest: width of a layer beyond which no machine holds its weights.
        most: number of layers beyond which nobody wants to wait for one step.

    Raises:
        ValueError: a width or a number of layers beyond these; a depth other than 1 without a second hidden
            layer to repeat, or in an architecture that is not dense.

    >>> resized("8-6-4-2-4-6-8", 0.5, 2)
    '8-3-2-2-1-2-2-3-8'
    >>> resized("28x28x1-c5x6-p2-120-10", 0.5, 1)
    '28x28x1-c5x3-p2-60-10'
    """
    first, *hidden, last = words.split("-")
    if depth > 1:
        if not all(word.isdigit() for word in hidden):
            raise ValueError(
                f"depth must be 1 for an architecture that is not dense, got {depth} for {words}"
            )
        if len(hidden) < 2:
            raise ValueError(f"depth must be 1 without a second hidden layer to repeat, got {depth}")
        if depth * len(hidden) > most:
            raise ValueError(f"depth must make at most {most} layers, got {depth:g} times {len(hidden)}")
        hidden = [word for word in hidden for _ in range(depth if word == hidden[1] else 1)]

    def wider(found: re.Match[str]) -> str:
        if not width * int(found[2]) <= largest:
            raise ValueError(f"width must make layers of at most {largest}, got {width:g} times {found[2]}")
        return f"{found[1]}{max(1, round(width * int(found[2])))}"

    # a width, the states of r, or the channels behind x; never the size of a kernel or a window
    return "-".join([first, *(re.sub(r"^(c\d+x|r|)(\d+)", wider, word) for word in hidden), last])
