"""The problems whose networks classify: their splits with labels, ranges, records; every method."""

import json
from pathlib import Path

import numpy as np
import pytest
from made_up_images import write_images
from numpy.testing import assert_array_equal, assert_equal

from locoprop_ref.backend import namespace
from locoprop_ref.cli import main as cli
from locoprop_ref.experiments import tuned
from locoprop_ref.experiments.tune import PROBLEMS, SPACE, reduced_problem, search_space, tune
from locoprop_ref.experiments.tune.objective import held_out_losses
from locoprop_ref.experiments.tune.problem import tuning_data
from locoprop_ref.experiments.tune.space import edges, settings, untuned
from locoprop_ref.experiments.tuned.record import read_record
from locoprop_ref.training import examples
from locoprop_ref.training.build import epoch_rate

CLASSIFY = {"lenet": "6x6x1-c3x2-p2-3", "sequential-mnist": "6x6-r4-3"}
NUMPY = namespace("numpy")
SMALL = {"batch_size": 10, "examples": 60, "held_out": 40}


def small(problem):
    return reduced_problem(problem, data="images.npz", layers=CLASSIFY[problem], **SMALL)


@pytest.fixture
def images(tmp_path, monkeypatch):
    """A new working directory with images.npz in it."""
    monkeypatch.chdir(tmp_path)
    tuning_data.cache_clear()
    return write_images(tmp_path / "images.npz")


@pytest.mark.parametrize("problem", CLASSIFY)
def test_the_problems(problem):
    on = PROBLEMS[problem]
    assert_equal((on.data, on.task, on.batch_size, on.epochs), ("mnist", "classify", 100, 1))
    assert_equal((on.examples, on.held_out, on.schedule_epochs), (12_000, 5_000, None))
    config = on.config("adam", seed=0)
    assert_equal((config.output_loss, config.transfer), ("softmax_cross_entropy", "tanh"))
    assert_equal(epoch_rate(config, 0), 1.0)


@pytest.mark.parametrize("problem", CLASSIFY)
def test_labels_stay_with_their_images_and_the_test_set_is_left_out(images, problem):
    file = np.load(images)
    wanted = {row.tobytes(): label for row, label in zip(file["x_train"], file["labels_train"], strict=True)}
    found = tuning_data(small(problem), None)
    for part, count in (("train", 60), ("test", 40)):
        rows, labels = getattr(found, f"x_{part}"), getattr(found, f"labels_{part}")
        assert_equal(len(rows), count)
        assert_array_equal(labels, [wanted[row.tobytes()] for row in rows])


def test_an_autoencoder_leaves_labels_out(images):
    """So that its data have the hash that they always had."""
    assert (
        tuning_data(reduced_problem("mnist", data="images.npz", layers="36-4-36", **SMALL), None).labels_train
        is None
    )


def test_records_of_autoencoders_are_what_they_were():
    assert not {"task", "schedule"} & PROBLEMS["mnist"].record("ab").keys()
    record = PROBLEMS["lenet"].record("ab")
    assert_equal(
        [record[name] for name in ("task", "schedule", "schedule_epochs")], ["classify", "constant", None]
    )


@pytest.mark.parametrize("problem", CLASSIFY)
@pytest.mark.parametrize("method", tuned.CONTESTANTS)
def test_ranges_lie_within_the_usual_ones_or_near_and_begin_untuned(method, problem):
    """They search the same options, every end is a setting, and the first trial is not on an edge."""
    space = search_space(method, problem=problem)
    assert_equal([(r.name, r.choices) for r in space], [(r.name, r.choices) for r in SPACE[method]])
    begin = untuned(method, space, PROBLEMS[problem].config(method, seed=0))
    assert edges(begin, space) == ({"inverse_interval": "high"} if method == "kfac" else {})
    for r in space:
        for end in r.choices or (r.low, r.high):
            PROBLEMS[problem].config(method, seed=0, **settings({**begin, r.name: end}))
    ranges = {r.option: r.record for r in space}
    if method.startswith("locoprop"):
        assert_equal(ranges["target_step"], [1.0, 300.0])


@pytest.mark.parametrize("problem", CLASSIFY)
@pytest.mark.parametrize("method", tuned.CONTESTANTS)
def test_every_method_runs(images, method, problem):
    """Six steps from the untuned settings: a finite held-out loss."""
    on = small(problem)
    config = on.config(
        method, seed=0, **settings(untuned(method, search_space(method), on.config(method, seed=0)))
    )
    losses = list(held_out_losses(config, examples(tuning_data(on, None), config, NUMPY), NUMPY))
    assert_equal((len(losses), np.isfinite(losses).all()), (2, True))


def test_a_result_can_be_read_and_its_command_makes_it_again(images):
    record = tune(["locoprop-s-closed"], small("lenet"), trials=1, progress=False)["locoprop-s-closed"]
    path = Path("tuning/lenet/locoprop-s-closed.json")
    assert_equal(read_record(path).problem["task"], "classify")
    assert_equal(json.loads(path.read_text()), record)
    assert "final" not in record
    command = record["study"]["command"]
    assert "--range" not in command and "--schedule" not in command
    words = [*command.split()[1:], "--out", "again", "--storage", "sqlite:///again.db"]
    assert_equal(cli.main(words), 0)
    assert_equal(json.loads(Path("again/lenet/locoprop-s-closed.json").read_text()), record)


def test_what_does_not_fit_is_refused_in_one_sentence(images, capsys):
    words = ["tune", "adam", "--problem", "lenet", "--data", "images.npz", "--batch-size", "10"]
    words += ["--examples", "60", "--held-out", "40", "--layers"]
    for more, sentence in {
        (CLASSIFY["lenet"], "--schedule-epochs", "4"): "schedule_epochs has no meaning for schedule constant",
        ("6x6x2-c3x2-3",): "layers must begin with the 36 inputs of images.npz, got 72",
        ("6x6x1-c3x2-2",): "layers must end with at least 3 classes, got 2",
    }.items():
        assert_equal(cli.main([*words, *more]), 2)
        assert_equal(capsys.readouterr().err, f"locoprop-ref tune: {sentence}\n")
    np.savez("images.npz", x_train=np.zeros((120, 36)), x_test=np.zeros((4, 36)))
    assert_equal(cli.main([*words, CLASSIFY["lenet"]]), 2)
    assert "data must have labels for task classify, got images.npz" in capsys.readouterr().err
    assert_equal([path.name for path in Path().iterdir()], ["images.npz"])


def test_another_task_or_schedule_is_refused():
    with pytest.raises(ValueError, match="task must be one of autoencode, classify, regress, got 'clasify'"):
        reduced_problem("lenet", task="clasify")
    with pytest.raises(ValueError, match="schedule must be one of authors, constant, got 'cosine'"):
        reduced_problem("lenet", schedule="cosine")
