"""Architectures in words: what each word means, what it may follow, and the networks that are drawn."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from locoprop_ref.architectures import architecture, dense, resized
from locoprop_ref.network import forward, initialize
from locoprop_ref.wirings import from_recipe

LENET = "28x28x1-c5x6+2-p2-c5x16-p2-120-84-10"

# layers: (rows of W, columns of W, positions, numbers read)
MEANT = {
    "8-3-1": [(8, 3, 1, 8), (3, 1, 1, 3)],
    LENET: [
        (25, 6, 784, 784), (150, 16, 100, 4704), (400, 120, 1, 1600), (120, 84, 1, 120), (84, 10, 1, 84),
    ],
    "9x7x3-c3x4/2-m2-5": [(27, 4, 12, 189), (8, 5, 1, 48)],
    "9x7x3-c2x4/3+1-5": [(12, 4, 12, 189), (48, 5, 1, 48)],
    "6x6x2-p3/1-m2-4": [(8, 4, 1, 72)],
    "6x6x2-4": [(72, 4, 1, 72)],
    "28x28-r64-10": [(92, 64, 28, 784), (64, 10, 1, 1792)],
    "5x3-r4-r2-7-1": [(7, 4, 5, 15), (6, 2, 5, 20), (2, 7, 1, 10), (7, 1, 1, 7)],
    "5x3-4": [(15, 4, 1, 15)],
}  # fmt: skip


@pytest.mark.parametrize("words", MEANT)
def test_what_the_words_mean(words):
    plans = architecture(words)
    assert [(plan.d_in, plan.d_out, plan.positions, plan.inputs) for plan in plans] == MEANT[words]
    assert [plan.recurrent for plan in plans] == [
        word[0] == "r" for word in words.split("-")[1:] if word[0] not in "pm"
    ]
    for plan in plans:
        if plan.wiring is not None:
            assert from_recipe(plan.wiring.recipe, plan.wiring.below) == plan.wiring


def test_only_what_is_asked_for_is_read():
    """Stride, padding, kind and order of the parts, from their recipes."""
    convolution, flat = (plan.wiring.recipe for plan in architecture("9x7x3-c3x4/2+1-m2/1-5"))
    assert convolution == (("patches", (3, 9, 7), 3, 2, 1),)
    assert flat == (("pool", (4, 5, 4), 2, "max", 1), ("flatten", (4, 4, 3)))
    _, steps, last = (plan.wiring.recipe for plan in architecture("5x3-r4-r2-7"))
    assert (steps, last) == ((("every_step", (4, 5)),), (("last_step", (2, 5)),))


@pytest.mark.parametrize("words", MEANT)
def test_a_network_of_the_words_takes_a_batch(words):
    first = architecture(words)[0].inputs
    network = initialize(words, transfers="tanh", dtype="float32")
    assert forward(network, np.ones((3, first), dtype="float32")).y_hat[-1].shape == (3, MEANT[words][-1][1])


def test_dense_words_draw_the_network_of_their_widths():
    one, other = (
        initialize("8-3-2", transfers="tanh", seed=4),
        initialize((8, 3, 2), transfers="tanh", seed=4),
    )
    for a, b in zip(one.layers, other.layers, strict=True):
        assert_array_equal(a.W, b.W)
        assert_array_equal(a.b, b.b)
        assert a.wiring is None


def test_the_fans_of_a_kernel_count_its_size():
    """Glorot's bound is √(6/(S²C + S²C')): the largest of many weights is close below it."""
    W = initialize("12x12x8-c5x16-2", transfers="tanh", seed=1).layers[0].W
    bound = np.sqrt(6 / (25 * 8 + 25 * 16))
    assert 0.999 * bound < np.abs(W).max() <= bound
    W = initialize("5x40-r60-2", transfers="tanh", seed=1).layers[0].W
    assert 0.999 * np.sqrt(6 / 160) < np.abs(W).max() <= np.sqrt(6 / 160)


@pytest.mark.each("words")
@pytest.mark.parametrize("words", ["6x6x1-c3x2-m2-3", "4x3-r5-3"])
def test_a_network_in_words_has_the_same_weights_on_every_library(backend, words):
    drawn = [initialize(words, transfers="tanh", seed=5, **where) for where in (
        {}, {"xp": backend.xp, "device": backend.device}
    )]  # fmt: skip
    for one, other in zip(*(network.layers for network in drawn), strict=True):
        assert_array_equal(backend.numpy(other.stacked), one.stacked)
        assert other.wiring == one.wiring


def test_resized():
    assert resized(LENET, 0.5, 1) == "28x28x1-c5x3+2-p2-c5x8-p2-60-42-10"
    assert resized("28x28-r64-10", 2, 1) == "28x28-r128-10"
    assert resized("8-6-4-2-4-6-8", 1, 3) == "8-6-4-4-4-2-4-4-4-6-8"
    assert resized("8-1-8", 0.01, 1) == "8-1-8"
    assert [(plan.d_in, plan.d_out) for plan in dense((4, 3))] == [(4, 3)]


WANTED = "layers must be widths joined by hyphens"
BAD = {
    **dict.fromkeys(
        ("", "784", "784-0-784", "784-٣-784", "784-c5-10", "8x8x1-c3-4", "8x8x1-c3x0-4", "8x8x1-p2+1-4",
         "8x8-r3/2-4", "8x8x1x1-4", "8-3x2-4", "8x8x1-c3x4/0-4", "8x8x1-q2-4", "8--4", "x8-4"), WANTED,
    ),
    "784-c5x6-10": "layers must have an image before 'c5x6'",
    "28x28-c5x6-10": "layers must have an image before 'c5x6'",
    "784-p2-10": "layers must have an image before 'p2'",
    "784-r3-10": "layers must have a sequence before 'r3'",
    "28x28x1-r3-10": "layers must have a sequence before 'r3'",
    "8x8x1-c3x2-r3-10": "layers must have a sequence before 'r3'",
    "8x8x1-c3x2": "layers must end with a dense layer, such as 10",
    "8x8x1-5-p2": "layers must have an image before 'p2'",
    "8x8x1-c3x2-p2": "layers must end with a dense layer",
    "8x8-r3": "layers must end with a dense layer",
    "8x8x1-c9x2-4": "size must be at most that of the image, 8x8 with padding 0, got 9",
    "8x8x1-c3x2-m7-4": "size must be at most that of the image, 6x6 with padding 0, got 7",
}  # fmt: skip


@pytest.mark.parametrize("words", BAD)
def test_words_that_name_no_network_are_refused(words):
    with pytest.raises(ValueError, match=BAD[words]):
        architecture(words)


@pytest.mark.parametrize(
    ("words", "reason"), [(LENET, "that is not dense"), ("8-4-8", "a second hidden layer")]
)
def test_a_depth_that_it_does_not_have_is_refused(words, reason):
    with pytest.raises(ValueError, match=f"depth must be 1 .*{reason}.*, got 2"):
        resized(words, 1, 2)


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ([], "recipe must hold at least one part"),
        ([["patch", [1, 2, 2], 1]], "recipe must be one of patches, pool"),
        ([["patches", [1, 2, 2], "1"]], "size must be an integer"),
        ([["flatten", [1, "2"]]], "shape must be an integer"),
        ([["pool", [1, 2, 2], 2, "sum"]], "kind must be one of mean, max"),
    ],
)
def test_a_recipe_from_a_damaged_file_is_refused(recipe, words):
    with pytest.raises((ValueError, TypeError), match=words):
        from_recipe(recipe)
