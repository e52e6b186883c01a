"""A tiny problem to tune on, its searches and studies, and the command in a process of its own."""

import json
import time
from contextlib import closing, contextmanager

import optuna
import sqlalchemy

from locoprop_ref.backend import namespace
from locoprop_ref.experiments.tune import reduced_problem, search_space, tune, whole_problem
from locoprop_ref.experiments.tune.problem import tuning_data
from locoprop_ref.experiments.tune.storage import Storage
from locoprop_ref.experiments.tune.study import Search, Study
from locoprop_ref.training import examples

NUMPY = namespace("numpy")
SMALL = {
    "data": "tiny.npz", "layers": "9-6-3-6-9", "width": 1.0, "batch_size": 10, "examples": 40, "held_out": 20,
    "epochs": 2,
}  # fmt: skip
FLAGS = ["--no-final"]
FLAGS += [word for name, value in SMALL.items() for word in ("--" + name.replace("_", "-"), str(value))]
LONG = [*FLAGS, "--batch-size", "1", "--epochs", "40", "--trials", "2"]  # half a second a trial
STORAGE = "sqlite:///tuning/mnist.db"
PATIENCE = 250  # seconds, for a machine that others use too


def small(**changed):
    return reduced_problem("mnist", **{**SMALL, **changed})


FINAL = whole_problem(small())


def search(method="rmsprop", trials=3, on=None, **options):
    """Tune one method on the tiny problem; what was stored."""
    return tune([method], on or small(), trials=trials, progress=False, **options)[method]


def a_search(method="rmsprop", **changed):
    fields = {"problem": small(), "space": search_space(method), "seed": 0, "trials": 3}
    return Search(method=method, **{**fields, **changed})


@contextmanager
def loaded(of=None, storage=STORAGE):
    """A study as it stands in its storage."""
    of = of or a_search()
    with Storage(storage).opened() as connection:
        yield Study(of, optuna.load_study(study_name=of.name, storage=connection), grace=60)


def trials_in(of=None, storage=STORAGE):
    with loaded(of, storage) as study:
        return study.stored.get_trials()


def seen(trials):
    """What the same seed must give again."""
    return [(t.state.name, t.params, t.value, t.intermediate_values) for t in trials]


def split_data(on=None):
    on = on or small()
    return examples(tuning_data(on, None), on.config("rmsprop", seed=0), NUMPY)


def running_worker(url, seconds=PATIENCE):
    """The process number of a worker that is at a trial, by what the storage says."""
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.pool.NullPool)
    query = sqlalchemy.text(
        "select a.value_json from trial_user_attributes a join trials t on t.trial_id = a.trial_id "
        "where a.key = 'worker' and t.state = 'RUNNING'"
    )
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            with closing(engine.connect()) as connection:
                rows = connection.execute(query).fetchall()
        except sqlalchemy.exc.SQLAlchemyError:  # no tables yet
            rows = []
        if rows:
            return int(json.loads(rows[0][0]).split()[1])
        time.sleep(0.05)
    raise AssertionError("no trial began")
