r"""CURVES: images of smooth curves through three random points, drawn from a seed.

The data set behind the classic deep-autoencoder benchmark (Hinton & Salakhutdinov 2006, then Martens 2010
and Martens & Grosse 2015), here in a drawing of our own, so that it needs no download. Every image is a
function of six numbers, the coordinates of three points. They are ordered p₀, p₁, p₂ so that the longest of
the three distances lies between p₀ and p₂. The curve is the parabola through them (Lagrange's interpolation),
parametrized by the length along the chords:

    p(t) = (t−τ)(t−1)/τ · p₀  +  t(1−t)/(τ(1−τ)) · p₁  +  t(t−τ)/(1−τ) · p₂,      0 ≤ t ≤ 1,
    τ = ‖p₁−p₀‖ / (‖p₁−p₀‖ + ‖p₂−p₁‖).

The bytes are the same on every machine: the random bits are raw integers of PCG64, and every operation from
them to the pixel is one that IEEE 754 rounds correctly (+ − × ÷ √, comparisons), in a fixed order. There is
no exp, no matrix product, and no sum whose order depends on the width of a SIMD register.
"""

from collections.abc import Iterator

import numpy as np

from locoprop_ref import checks

#: Height and width of an image in pixels.
SIDE = 28
#: Images in the training set and in the test set, as in the original.
NUM_TRAIN, NUM_TEST = 20_000, 10_000
#: SHA-256 of the 30,000 x 784 bytes that `draw_curves(NUM_TRAIN + NUM_TEST)` draws with its defaults.
PINNED_SHA256 = "965276f36b93024bf530702b3a722bf2acb625ca6b73f5cf74babc0015e48a75"

_CANDIDATES = 4096  # curves proposed at a time; any number gives the same images
_BLOCK = 64  # images drawn at a time: 64 x 784 doubles stay in a core's own cache


def draw_curves(
    num_images: int,
    *,
    seed: int = 0,
    thickness: float = 1.6,
    margin: float = 2.0,
    spacing: float = 5.0,
    segments: int = 24,
) -> np.ndarray:
    r"""Draw images of smooth curves through three random points.

    Args:
        num_images: how many. The first n images do not depend on how many follow.
        seed: seed of the points, a non-negative integer.
        thickness: width of the stroke in pixels; its edge is blurred over one pixel.
        margin: least distance in pixels between the curve (the middle of its stroke) and the border of the
            image. Curves that come closer are replaced by curves through three new points.
        spacing: least distance in pixels between neighbouring points; points that lie closer are replaced.
        segments: number of straight segments that a curve is drawn with; 24 of them stay within 0.06 pixels
            of the parabola.

    Returns:
        uint8 array (num_images, 784), one image row after the other; 0 is the background, 255 the stroke.

    Raises:
        ValueError, TypeError: an argument out of its range.

    >>> images = draw_curves(3)
    >>> images.shape, images.dtype.name, int(images.min()), int(images.max())
    ((3, 784), 'uint8', 0, 255)
    """
    checks.integer("num_images", num_images)
    checks.integer("seed", seed, minimum=0, maximum=None)
    checks.integer("segments", segments)
    _below("margin", checks.positive("margin", margin), SIDE / 4)
    _below("spacing", checks.positive("spacing", spacing), SIDE / 4)
    width = checks.positive("thickness", thickness)
    vertices = _curves_inside(num_images, seed, float(margin), float(spacing), segments)
    images = np.empty((num_images, SIDE * SIDE), dtype=np.uint8)
    for start in _with_progress(range(0, num_images, _BLOCK)):
        images[start : start + _BLOCK] = _draw(vertices[start : start + _BLOCK], width)
    return images


def _curves_inside(num_images: int, seed: int, margin: float, spacing: float, segments: int) -> np.ndarray:
    """Return the first curves from the seed that keep margin and spacing, (num_images, segments + 1, 2)."""
    found: list[np.ndarray] = []
    missing = num_images
    for points in _random_points(seed, margin):
        chords = _chords(points)
        apart = (chords >= spacing).all(axis=1)
        vertices = _parabola(points[apart], chords[apart], segments)
        inside = ((vertices >= margin) & (vertices <= SIDE - margin)).all(axis=(1, 2))
        found.append(vertices[inside][:missing])
        missing -= len(found[-1])
        if missing == 0:
            break
    return np.concatenate(found)


def _random_points(seed: int, margin: float) -> Iterator[np.ndarray]:
    """Yield blocks of ordered points, uniform on the square inside the margin, (candidates, 3, 2)."""
    bits = np.random.PCG64(seed)
    while True:
        raw = bits.random_raw(_CANDIDATES * 6).reshape(_CANDIDATES, 3, 2)
        unit = (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53  # exact: 53 bits fit a double
        points = margin + (SIDE - 2 * margin) * unit
        opposite = np.stack([_length(points[:, i - 2] - points[:, i - 1]) for i in range(3)], axis=1)
        middle = opposite.argmax(axis=1)  # the point opposite the longest side
        order = np.array([[2, 0, 1], [0, 1, 2], [1, 2, 0]])[middle]
        yield np.take_along_axis(points, order[:, :, None], axis=1)


def _length(vectors: np.ndarray) -> np.ndarray:
    return np.sqrt(vectors[:, 0] * vectors[:, 0] + vectors[:, 1] * vectors[:, 1])


def _chords(points: np.ndarray) -> np.ndarray:
    """Return ‖p₁−p₀‖ and ‖p₂−p₁‖, (n, 2), of points (n, 3, 2)."""
    return np.stack([_length(points[:, 1] - points[:, 0]), _length(points[:, 2] - points[:, 1])], axis=1)


def _parabola(points: np.ndarray, chords: np.ndarray, segments: int) -> np.ndarray:
    """Return p(t) at t = 0, 1/segments, ..., 1, (n, segments + 1, 2), of points (n, 3, 2)."""
    t = (np.arange(segments + 1) / segments)[:, None]
    p0, p1, p2 = (points[:, i, None, :] for i in range(3))
    tau = (chords[:, 0] / (chords[:, 0] + chords[:, 1]))[:, None, None]
    w0, w1, w2 = (t - tau) * (t - 1) / tau, t * (1 - t) / (tau * (1 - tau)), t * (t - tau) / (1 - tau)
    return w0 * p0 + w1 * p1 + w2 * p2


def _draw(vertices: np.ndarray, thickness: float) -> np.ndarray:
    """Return bytes (n, 784), 255·min(max(thickness/2 + 1/2 − distance, 0), 1), of (n, segments + 1, 2)."""
    nearest = np.full((len(vertices), SIDE, SIDE), np.inf)
    for start, end in zip(vertices[:, :-1].swapaxes(0, 1), vertices[:, 1:].swapaxes(0, 1), strict=True):
        np.minimum(nearest, _squared_distance(start, end), out=nearest)
    distance = np.sqrt(np.maximum(nearest, 0.0))
    grey = np.clip(thickness / 2 + 0.5 - distance, 0.0, 1.0)
    return np.floor(255.0 * grey + 0.5).astype(np.uint8).reshape(len(vertices), SIDE * SIDE)


def _squared_distance(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    r"""Return the squared distances from the pixel centres q to the segments from a to a + d, (n, 28, 28).

    They are ‖q − a‖² − c(2s − c‖d‖²) with s = ⟨q − a, d⟩, where c = s/‖d‖² clipped to [0, 1] is the position
    of the nearest point on the segment. Both ‖q − a‖² and s are the sum of a term for the column and a term
    for the row, so that only the sums have the size of the image.
    """
    centres = np.arange(SIDE) + 0.5
    dx, dy = (end - start).T[:, :, None]
    ax, ay = start.T[:, :, None]
    length2 = dx * dx + dy * dy
    inverse = np.where(length2 > 0, 1.0 / np.where(length2 > 0, length2, 1.0), 0.0)
    x, y = centres - ax, centres - ay
    s = (x * dx)[:, None, :] + (y * dy)[:, :, None]
    c = s * inverse[:, :, None]
    np.clip(c, 0.0, 1.0, out=c)
    squared = (x * x)[:, None, :] + (y * y)[:, :, None]
    s *= 2.0
    s -= c * length2[:, :, None]
    s *= c
    squared -= s
    return squared


def _below(name: str, value: float, bound: float) -> None:
    if value >= bound:
        raise ValueError(f"{name} must be below {bound} pixels (a quarter of the image), got {value}")


def _with_progress(blocks: range) -> Iterator[int]:
    from tqdm import tqdm

    yield from tqdm(blocks, desc="drawing curves", unit="block", leave=False, disable=None)
