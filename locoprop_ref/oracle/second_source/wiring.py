r"""Wirings from their definitions: which numbers of an example stand where in the rows of a layer.

A stage is a list of sums, one for each number that it makes: [(i, weight), ...] stands for Σ weight · zᵢ. For
the derivative each stage has a second list of sums, which is the same one unless a convention is changed; it
is read the other way round. Images are (channel, row, column), sequences (step, number), and the
states of a recurrent layer (unit, step).
"""

from typing import Any

from locoprop_ref.oracle.second_source.numbers import Inapplicable, count

Sums = list[list[tuple[int, Any]]]
Tape = list[tuple[Sums, int]]


def read(
    z: list[Any], shape: tuple[int, ...], wiring: list[dict[str, Any]], choices: dict[str, str]
) -> tuple[list[Any], tuple[int, ...], Tape]:
    """Send one flat example through all stages; return the numbers, their shape, and the way back."""
    tape: Tape = []
    for stage in wiring:
        forward, backward, shape = _stage(z, shape, stage, choices)
        tape.append((backward, len(z)))
        z = [sum((weight * z[i] for i, weight in terms), 0 * z[0]) for terms in forward]
    return z, shape, tape


def pull_back(u: list[Any], tape: Tape) -> list[Any]:
    """Return the derivative with respect to the example, from that with respect to what the stages made."""
    for sums, length in reversed(tape):
        below = [0 * u[0] for _ in range(length)]
        for value, terms in zip(u, sums, strict=True):
            for i, weight in terms:
                below[i] = below[i] + weight * value
        u = below
    return u


def order_of(shape: tuple[int, ...], choices: dict[str, str]) -> list[int]:
    """Return for each number of an example, in documented order, where the implementation looks for it."""
    n = count(shape)
    if choices["example_order"] == "as given":
        return list(range(n))
    inner = n // shape[0]  # the first index is taken to be the fastest in place of the slowest
    return [p * shape[0] + c for c in range(shape[0]) for p in range(inner)]


def _stage(
    z: list[Any], shape: tuple[int, ...], stage: dict[str, Any], choices: dict[str, str]
) -> tuple[Sums, Sums, tuple[int, ...]]:
    match stage["stage"]:
        case "patches":
            return _patches(shape, stage, choices)
        case "mean" | "max":
            return _pool(z, shape, stage, choices)
        case "flatten":
            return _flatten(shape, choices)
        case "steps":
            T, d = shape
            return _same([t * d + k for t in range(T) for k in range(d)], (d, T))
        case "every step":
            d, T = shape
            return _same([k * T + t for t in range(T) for k in range(d)], (d, T))
    d, T = shape
    return _same([k * T + T - 1 for k in range(d)], (d,))


def _same(numbers: list[int], shape: tuple[int, ...]) -> tuple[Sums, Sums, tuple[int, ...]]:
    sums: Sums = [[(i, 1)] for i in numbers]
    return sums, sums, shape


def _starts(length: int, size: int, stride: int, padding: int, place: str) -> list[int]:
    """Return where windows begin along one side; rows below 0 and from `length` on are padding."""
    before = {"both sides": padding, "before only": padding, "all at the end": 0}[place]
    after = {"both sides": padding, "before only": 0, "all at the end": 2 * padding}[place]
    if size > before + length + after:
        raise Inapplicable("the window is larger than the image")
    return list(range(-before, length + after - size + 1, stride))


def _patches(
    shape: tuple[int, ...], stage: dict[str, Any], choices: dict[str, str]
) -> tuple[Sums, Sums, tuple[int, ...]]:
    C, h, w = shape
    size, place = stage["size"], choices["padding_place"]
    stride = 1 if choices["stride"] == "ignored" else stage["stride"]
    tops = _starts(h, size, stride, stage["padding"], place)
    lefts = _starts(w, size, stride, stage["padding"], place)
    entries = [(c, p, q) for c in range(C) for p in range(size) for q in range(size)]
    if choices["patch_order"] == "row, column, channel":
        entries = [(c, p, q) for p in range(size) for q in range(size) for c in range(C)]
    elif choices["patch_order"] == "channel, column, row":
        entries = [(c, p, q) for c in range(C) for q in range(size) for p in range(size)]
    sums: Sums = []
    for top in tops:
        for left in lefts:
            for c, p, q in entries:
                flipped = choices["kernel"] == "flipped"
                row = top + (size - 1 - p if flipped else p)
                column = left + (size - 1 - q if flipped else q)
                inside = 0 <= row < h and 0 <= column < w
                sums.append([((c * h + row) * w + column, 1)] if inside else [])
    return sums, sums, (C * size * size, len(tops), len(lefts))


def _pool(
    z: list[Any], shape: tuple[int, ...], stage: dict[str, Any], choices: dict[str, str]
) -> tuple[Sums, Sums, tuple[int, ...]]:
    C, h, w = shape
    size = stage["size"]
    stride = size if choices["stride"] == "ignored" else stage["stride"]
    tops, lefts = _starts(h, size, stride, 0, "both sides"), _starts(w, size, stride, 0, "both sides")
    forward, backward = [], []
    for c in range(C):
        for top in tops:
            for left in lefts:
                window = [
                    (c * h + row) * w + column
                    for row in range(top, top + size)
                    for column in range(left, left + size)
                ]
                one, back = _reduced(z, window, stage["stage"], choices)
                forward.append(one)
                backward.append(back)
    return forward, backward, (C, len(tops), len(lefts))


def _reduced(z: list[Any], window: list[int], kind: str, choices: dict[str, str]) -> tuple[Any, Any]:
    """Return the sum that a window stands for, and the one that its derivative goes back by."""
    one = 1 + 0 * z[0]
    if kind == "mean":
        share = [(i, one / len(window)) for i in window]
        return share, share if choices["mean_pooling"] == "divided" else [(i, one) for i in window]
    largest = [i for i in window if z[i] == max(z[k] for k in window)]
    back = {
        "first": [(largest[0], one)],
        "last": [(largest[-1], one)],
        "all": [(i, one) for i in largest],
        "shared": [(i, one / len(largest)) for i in largest],
    }[choices["max_ties"]]
    return [(largest[0], one)], back


def _flatten(shape: tuple[int, ...], choices: dict[str, str]) -> tuple[Sums, Sums, tuple[int, ...]]:
    n = count(shape)
    inner = n // shape[0]
    if choices["flatten_order"] == "channels first":
        return _same(list(range(n)), (n,))
    return _same([c * inner + p for p in range(inner) for c in range(shape[0])], (n,))
