"""The one page of NumPy: it trains as the package does, and stays one page that anyone can read and run."""

import ast
import gzip
import json
import re
import struct
import subprocess
import sys
import tokenize

import hundred_lines
import numpy as np
import pytest
from hundred_lines import PATH, page
from numpy.testing import assert_allclose, assert_array_equal
from small_runs import shell

from locoprop_ref import initialize, locoprop_m, network_loss

SIZES = (30, 40, 20, 10, 4, 10, 20, 40, 30)
TRANSFERS = [*["tanh"] * 3, "identity", *["tanh"] * 3, "sigmoid"]
BATCH = 20
# the authors' rates of the first eight epochs: a warm-up of five, then the way down
RATES = [0.0, 0.2, 0.4, 0.6, 0.8, 94 / 95, 93 / 95, 92 / 95]

# Relative to the largest number. The programs differ in the order of sums and the formula of the sigmoid: a
# few roundings of 1e-16 a step, which 24 small steps do not blow up (5e-16 was seen). Another convention, or
# a constant that is wrong in its fourth digit, moves the weights by 1e-5 and more.
TOLERANCE = 1e-12


@pytest.fixture(scope="module")
def pixels():
    """Train and test images; 65 and 20, so that an epoch has three batches and drops five images."""
    rng = np.random.default_rng(21)
    return [(rng.uniform(size=(count, SIZES[0])) ** 4 * 255).astype(np.uint8) for count in (65, 20)]


# agreement with the package -----------------------------------------------------------------------


def package_networks(x, seed):
    """The networks of the package's locoprop_m, before and after every epoch; its own loop over batches."""
    rng, method = np.random.default_rng(seed), locoprop_m()
    network = initialize(SIZES, transfers=TRANSFERS, output_loss="sigmoid_cross_entropy", seed=rng)
    state = method.init(network)
    yield network
    for rate in RATES:
        order = rng.permutation(len(x))
        for first in range(0, len(x) - BATCH + 1, BATCH):
            rows = x[order[first : first + BATCH]]
            network, state, _ = method.step(network, state, rows, rows, rate=rate)
        yield network


def test_the_weights_are_those_of_the_package(pixels):
    x, x_test = (p / 255 for p in pixels)
    ours = page.train(x, len(RATES), np.random.default_rng(5), SIZES, BATCH)
    first = None
    for weights, network in zip(ours, package_networks(x, seed=5), strict=True):
        first = first or weights
        for W, layer in zip(weights, network.layers, strict=True):
            assert W.dtype == np.float64
            assert_allclose(W[:-1], layer.W, rtol=0, atol=TOLERANCE * np.abs(layer.W).max())
            assert_allclose(W[-1], layer.b, rtol=0, atol=TOLERANCE * np.abs(layer.b).max())
        assert_allclose(page.loss(weights, x_test), network_loss(network, x_test, x_test), rtol=TOLERANCE)
    moved = [np.abs(new - old).max() / np.abs(old).max() for new, old in zip(weights, first, strict=True)]
    assert min(moved) > 1e-3  # agreement is of weights that have gone somewhere


def test_the_losses_are_those_of_the_command(pixels, tmp_path):
    """`locoprop-ref train --preset paper` with its own schedule, random stream and losses."""
    np.savez(tmp_path / "data.npz", x_train=pixels[0], x_test=pixels[1])
    options = {
        "preset": "paper", "data": tmp_path / "data.npz", "layers": "-".join(map(str, SIZES)), "seed": 6,
        "batch-size": BATCH, "epochs": len(RATES), "dtype": "float64", "out": tmp_path / "run.json",
    }  # fmt: skip
    done = shell("train", *(f"--{name}={value}" for name, value in options.items()))
    assert (done.returncode, done.stderr) == (0, "")
    rows = json.loads((tmp_path / "run.json").read_bytes())["epochs"]
    x_train, x_test = (p / 255 for p in pixels)
    wanted = hundred_lines.losses(x_train, x_test, len(RATES), seed=6, sizes=SIZES, batch=BATCH)
    assert len(rows) == len(wanted) == 1 + len(RATES)
    for row, right in zip(rows, wanted, strict=True):
        for part in ("train", "test"):
            for name in ("ce", "mse"):
                assert_allclose(row[part][name], right[part][name], rtol=TOLERANCE)
    assert rows[-1]["train"]["ce"] < 0.95 * rows[0]["train"]["ce"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_shortened_step_at_rate_0_is_the_pages_bit_for_bit(pixels, dtype):
    """Two steps at rate 0, one that uses the mean squares, and one at rate 0 that momentum moves."""
    x = (pixels[0] / 255).astype(dtype)[: 3 * BATCH].reshape(3, BATCH, -1)[[0, 1, 2, 0]]
    start = list(page.initialize(SIZES, np.random.default_rng(5), x.dtype))
    ends = []
    for step in (page.locoprop_step, hundred_lines.STEPS["locoprop-m"]):
        weights, states = start, [(1.0, 0.0)] * len(start)
        for t, r in zip(x, (0.0, 0.0, 0.2, 0.0), strict=True):
            weights, states = zip(*step(weights, states, t, r), strict=True)
        ends.append([*weights, *(mean_square for mean_square, _ in states)])
    for ours, pages in zip(*ends, strict=True):
        assert ours.dtype == pages.dtype == np.dtype(dtype)
        assert_array_equal(ours, pages)


def test_the_whole_schedule_is_the_authors():
    assert_allclose(page.SCHEDULE[: len(RATES)], RATES, rtol=1e-15)
    assert len(page.SCHEDULE) == 99
    assert_allclose(np.diff(page.SCHEDULE[5:]), -1 / 95, rtol=1e-12)
    assert_allclose(page.SCHEDULE[-1], 1 / 95, rtol=1e-12)  # the 100th epoch would have the rate 0


# one page -----------------------------------------------------------------------------------------

SOURCE = PATH.read_text(encoding="utf-8")
NODES = list(ast.walk(ast.parse(SOURCE)))


def test_it_imports_numpy_and_the_standard_library_alone():
    imported = {alias.name for node in NODES if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in NODES if isinstance(node, ast.ImportFrom)}
    roots = {name.partition(".")[0] for name in imported}
    assert "numpy" in roots
    assert roots <= {"numpy", *sys.stdlib_module_names}


def test_it_is_at_most_100_lines_of_at_most_110_characters():
    lines = SOURCE.splitlines()
    assert len(lines) <= 100
    assert max(map(len, lines)) <= 110


def test_no_line_holds_two_statements():
    with PATH.open("rb") as file:
        assert not [token for token in tokenize.tokenize(file.readline) if token.string == ";"]
    starts = [node.lineno for node in NODES if isinstance(node, ast.stmt)]
    assert len(starts) == len(set(starts))  # no `if x: y` either


def test_everything_is_used():
    used = {node.id for node in NODES if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    given = {node.id for node in NODES if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    given |= {node.arg for node in NODES if isinstance(node, ast.arg)}
    given |= {node.name for node in NODES if isinstance(node, ast.FunctionDef)}
    given |= {alias.asname or alias.name for node in NODES if hasattr(node, "names") for alias in node.names}
    assert given - used == {"_"}


# as a program -------------------------------------------------------------------------------------

BLOBS = {"train": 1000, "t10k": 100}
IMAGES = "{}-images-idx3-ubyte"


def idx(images):
    return struct.pack(">4i", 2051, *images.shape) + images.tobytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One batch of training images, as plain IDX, and a few test images, as .gz: blobs at random places."""
    folder, rng = tmp_path_factory.mktemp("idx"), np.random.default_rng(22)
    for part, count in BLOBS.items():
        centre, pixel = rng.uniform(8, 20, (2, count, 1, 1)), np.arange(28)
        square = (pixel[:, None] - centre[0]) ** 2 + (pixel - centre[1]) ** 2
        content = idx((255 * np.exp(-square / 20)).astype(np.uint8))
        (folder / IMAGES.format(part)).write_bytes(content)
    (folder / f"{IMAGES.format('t10k')}.gz").write_bytes(gzip.compress(content))
    (folder / IMAGES.format("t10k")).unlink()
    return folder


def program(*arguments, **settings):
    command = [sys.executable, PATH, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **settings)


@pytest.mark.full
def test_it_runs_and_the_losses_fall(folder):
    done = program(folder, "--epochs", 2, "--seed", 7)
    assert (done.returncode, done.stderr) == (0, "")
    found = re.findall(r"^epoch (\d+): train (\d+\.\d\d), test (\d+\.\d\d)$", done.stdout, flags=re.MULTILINE)
    assert len(found) == len(done.stdout.splitlines())
    epochs, train, test = np.array(found, dtype=float).T
    assert epochs.tolist() == [0, 1, 2]
    for losses in (train, test):
        assert losses[0] == losses[1]  # the rate of the first epoch is 0
        assert losses[2] < losses[1] - 1  # one step of the second
    # what stands beside the epoch is the loss on the right images, of the seed asked for
    drawn = next(page.train(page.images(folder, "train"), 2, np.random.default_rng(7)))
    for losses, part in ((train, "train"), (test, "t10k")):
        assert_allclose(losses[0], page.loss(drawn, page.images(folder, part)), atol=0.006)  # two digits


def test_images_are_pixels_over_255(folder):
    for part, count in BLOBS.items():
        x = page.images(folder, part)
        assert (x.shape, x.dtype, x.min()) == ((count, 784), np.float32, 0)
        assert 0.99 < x.max() <= 1
        assert np.abs(x * 255 - np.rint(x * 255)).max() < 1e-4


@pytest.mark.full
def test_images_are_mnists(mnist_dir):
    shapes = {part: page.images(mnist_dir, part).shape for part in BLOBS}
    assert shapes == {"train": (60_000, 784), "t10k": (10_000, 784)}


TRAIN, ZIPPED = IMAGES.format("train"), gzip.compress(idx(np.zeros((3, 28, 28), np.uint8)))
BAD_FOLDERS = {
    "empty": {},
    "no test images": {TRAIN: idx(np.zeros((3, 28, 28), np.uint8))},
    "truncated gzip": {f"{TRAIN}.gz": ZIPPED[:-9]},
    "no gzip": {f"{TRAIN}.gz": b"hello"},
    "half an image": {TRAIN: idx(np.zeros((3, 28, 28), np.uint8))[:-392]},
}


@pytest.mark.parametrize("files", [None, *BAD_FOLDERS.values()], ids=["no folder", *BAD_FOLDERS])
def test_a_folder_without_the_files_is_one_sentence(tmp_path, files):
    folder = tmp_path / "mnist"
    if files is not None:
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
    done = program(folder)
    sentence = f"{folder} must hold train- and t10k-images-idx3-ubyte of MNIST, plain or .gz.\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", sentence)


@pytest.mark.parametrize("epochs", [-1, 100])
def test_epochs_that_the_schedule_has_not(tmp_path, epochs):
    done = program(tmp_path, f"--epochs={epochs}")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"argument --epochs: invalid choice: {epochs}" in done.stderr
