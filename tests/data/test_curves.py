"""CURVES: the same bytes on every machine, the geometry it promises, and a cache that can do no harm."""

import hashlib
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from locoprop_ref import data
from locoprop_ref.data import curves as module
from locoprop_ref.data import drawn
from locoprop_ref.data.curves import NUM_TEST, NUM_TRAIN, PINNED_SHA256, SIDE, draw_curves


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return draw_curves(NUM_TRAIN + NUM_TEST)


def test_bytes_are_the_published_ones(images):
    # SHA-256 of the 30,000 x 784 bytes, seen equal with NumPy's SIMD kernels on and off
    assert hashlib.sha256(images.tobytes()).hexdigest() == PINNED_SHA256


def test_images_are_thin_strokes_on_black(images):
    assert images.shape == (30_000, 784) and images.dtype == np.uint8
    assert np.all(images.max(axis=1) >= 128)  # no image is empty
    ink = (images > 0).mean(axis=1)
    assert ink.max() < 0.3  # mostly background: a stroke 2.6 pixels wide, at most 2 x 24√2 = 68 long, is 0.23
    border = images.reshape(-1, SIDE, SIDE).copy()
    border[:, 1:-1, 1:-1] = 0  # the curve keeps 2 pixels from the edge, its stroke reaches 1.3 from it
    assert border.max() == 0


def test_images_are_all_different(images):
    assert len({row.tobytes() for row in images}) == len(images)


@given(n=st.integers(1, 40), more=st.integers(0, 30), seed=st.integers(0, 2**63))
def test_the_first_images_do_not_depend_on_how_many_follow(n, more, seed):
    np.testing.assert_array_equal(draw_curves(n, seed=seed), draw_curves(n + more, seed=seed)[:n])


def test_block_sizes_change_nothing(monkeypatch):
    usual = draw_curves(100, seed=3)
    monkeypatch.setattr(module, "_BLOCK", 7)
    monkeypatch.setattr(module, "_CANDIDATES", 5)
    np.testing.assert_array_equal(draw_curves(100, seed=3), usual)


def test_seeds_differ():
    assert np.any(draw_curves(5, seed=1) != draw_curves(5, seed=2))


def naive_distance(q: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    """Distance of a point from a segment, by its textbook definition."""
    c = min(max(np.dot(q - a, b - a) / np.dot(b - a, b - a), 0.0), 1.0)
    return float(np.linalg.norm(q - (a + c * (b - a))))


def test_pixels_are_the_clipped_distance_from_the_curve():
    vertices = module._curves_inside(3, 11, 2.0, 5.0, 24)
    drawn = draw_curves(3, seed=11, thickness=1.6).reshape(3, SIDE, SIDE)
    for curve, image in zip(vertices, drawn, strict=True):
        naive = np.zeros((SIDE, SIDE))
        for row in range(SIDE):
            for column in range(SIDE):
                centre = np.array([column + 0.5, row + 0.5])
                distance = min(naive_distance(centre, a, b) for a, b in pairwise(curve))
                naive[row, column] = 255 * min(max(1.6 / 2 + 0.5 - distance, 0.0), 1.0)
        # rounding to a byte is half a grey level; 1e-6 for ‖q−a‖² − ..., which cancels to 1e-13 under a root
        np.testing.assert_allclose(image, naive, rtol=0, atol=0.5 + 1e-3)


def test_curve_passes_through_its_three_points_the_short_way_round():
    points = next(module._random_points(5, 2.0))[:300]
    chords = module._chords(points)
    ends = np.linalg.norm(points[:, 2] - points[:, 0], axis=1)
    assert np.all(ends >= chords.max(axis=1))
    curve = module._parabola(points, chords, 1000)
    for i in range(3):
        nearest = np.linalg.norm(curve - points[:, i, None, :], axis=2).min(axis=1)
        # vertices are |p′|/1000 apart; p′ = L·(u + k(v−u)) with L the length of both chords, u and v their
        # directions, at most 120° apart, and k from −1 to 2: |p′| ≤ √7·L < 3L
        assert np.all(nearest <= 3 * chords.sum(axis=1) / 1000)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"num_images": 0}, ValueError, "num_images must be an integer of at least 1"),
        ({"num_images": 2.0}, TypeError, "num_images must be an integer"),
        ({"num_images": 1, "seed": -1}, ValueError, "seed must be"),
        ({"num_images": 1, "thickness": float("nan")}, ValueError, "thickness must be"),
        ({"num_images": 1, "thickness": 0}, ValueError, "thickness must be"),
        ({"num_images": 1, "margin": 14}, ValueError, "margin must be below 7.0 pixels"),
        ({"num_images": 1, "spacing": 7}, ValueError, "spacing must be below 7.0 pixels"),
        ({"num_images": 1, "segments": 0}, ValueError, "segments must be"),
    ],
)
def test_bad_arguments(arguments, error, words):
    with pytest.raises(error, match=words):
        draw_curves(**arguments)


# ---------------------------------------------------------------- load("curves")


@pytest.fixture
def quick(images, monkeypatch):
    """Count the drawings, and take the images that were drawn already."""
    calls = []
    monkeypatch.setattr(drawn, "draw_curves", lambda n: calls.append(n) or images.copy())
    return calls


def test_load_draws_once_then_reads_the_cache(quick, tmp_path, images):
    first = data.load("curves", cache_dir=tmp_path)
    second = data.load("curves", cache_dir=tmp_path, download=False)
    assert (first.source, second.source, quick) == ("drawn from seed", "cache", [30_000])
    assert first.sha256 == second.sha256 and first.notes == second.notes == ()
    np.testing.assert_array_equal(np.concatenate([second.x_train, second.x_test]), images)
    assert (len(second.x_train), len(second.x_test)) == (20_000, 10_000)
    assert second.labels_train is None and second.labels_test is None and second.image_shape == (28, 28)
    assert [path.name for path in tmp_path.iterdir()] == ["curves.npz"]  # no temporary file is left


def test_cache_folder_comes_from_the_environment(quick, tmp_path, monkeypatch):
    monkeypatch.setenv(data.CACHE_VARIABLE, str(tmp_path / "deep" / "er"))
    data.load("curves")
    assert (tmp_path / "deep" / "er" / "curves.npz").is_file()


def test_cache_folder_of_the_system_by_default(monkeypatch):
    monkeypatch.delenv(data.CACHE_VARIABLE, raising=False)
    assert "locoprop-ref" in data.cache_folder().parts


def spoil_truncate(path):
    path.write_bytes(path.read_bytes()[:1000])


def spoil_text(path):
    path.write_text("no zip")


def spoil_pixel(path):
    with np.load(path) as file:
        images = file["images"]
    images[123, 456] ^= 1
    np.savez_compressed(path, images=images)


def spoil_shape(path):
    np.savez_compressed(path, images=np.zeros((2, 784), dtype=np.uint8))


def spoil_key(path):
    np.savez_compressed(path, pictures=np.zeros((2, 784), dtype=np.uint8))


@pytest.mark.parametrize("spoil", [spoil_truncate, spoil_text, spoil_pixel, spoil_shape, spoil_key])
def test_a_corrupt_cache_is_drawn_again(quick, tmp_path, spoil):
    good = data.load("curves", cache_dir=tmp_path)
    spoil(tmp_path / "curves.npz")
    again = data.load("curves", cache_dir=tmp_path)
    assert again.source == "drawn from seed" and again.sha256 == good.sha256 and len(quick) == 2
    assert data.load("curves", cache_dir=tmp_path).source == "cache"


def test_a_cache_that_cannot_be_written_is_no_error(quick, tmp_path):
    (tmp_path / "file").write_text("in the way of the folder")
    assert data.load("curves", cache_dir=tmp_path / "file").source == "drawn from seed"


def test_a_directory_in_place_of_the_cache_file_is_no_error(quick, tmp_path):
    (tmp_path / "curves.npz" / "inner").mkdir(parents=True)
    assert data.load("curves", cache_dir=tmp_path).source == "drawn from seed"
    assert [path.name for path in tmp_path.iterdir()] == ["curves.npz"]


def test_a_machine_that_draws_other_bytes_says_so_and_keeps_nothing(tmp_path, monkeypatch, images):
    other = images.copy()
    other[0, 0] = 1
    monkeypatch.setattr(drawn, "draw_curves", lambda n: other)
    loaded = data.load("curves", cache_dir=tmp_path)
    assert "other bytes" in loaded.notes[0] and not list(tmp_path.iterdir())
