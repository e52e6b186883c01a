"""The storage: opened by its URL, also where another command is creating it."""

import sqlite3
from contextlib import closing

import optuna
import pytest
import sqlalchemy
from sqlalchemy.exc import IntegrityError
from tiny_tuning import search

from locoprop_ref.experiments.tune import storage as storage_module
from locoprop_ref.experiments.tune.storage import Storage


@pytest.mark.parametrize("failures", [2, 99])
def test_a_storage_that_another_command_makes_at_this_moment(failures, here, monkeypatch):
    right, slept, tried = optuna.storages.RDBStorage.__init__, [], []

    def at_the_same_moment(self, *arguments, **options):
        tried.append(arguments)
        if len(tried) <= failures:
            raise IntegrityError("insert", {}, ValueError("UNIQUE constraint failed"))
        right(self, *arguments, **options)

    monkeypatch.setattr(optuna.storages.RDBStorage, "__init__", at_the_same_moment)
    monkeypatch.setattr(storage_module.time, "sleep", slept.append)
    if failures == 2:
        assert search("sgd", trials=1)["study"]["trials"] == 1
        assert slept == [1, 1]
    else:
        with pytest.raises(OSError, match=r"mnist\.db cannot be used: UNIQUE constraint failed$"):
            search("sgd", trials=1)
        assert slept == [1] * storage_module.PATIENCE


def test_a_home_folder_is_meant_in_a_url(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with Storage("sqlite:///~/deep/own.db").opened():
        pass
    assert (tmp_path / "deep" / "own.db").exists()
    assert not (tmp_path / "~").exists()


def test_a_database_of_optuna_is_opened_again(tmp_path):
    for _ in range(2):
        with Storage(f"sqlite:///{tmp_path}/own.db").opened():
            pass
    names = sqlalchemy.inspect(sqlalchemy.create_engine(f"sqlite:///{tmp_path}/own.db")).get_table_names()
    assert set(names) == storage_module.OPTUNAS_TABLES  # the list is that of the installed version


def test_another_programs_database_is_not_touched(tmp_path):
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE precious (a INTEGER)")
    before = path.read_bytes()
    words = r"storage must be a new database or one with studies of Optuna, got .*other\.db with .*: precious"
    with pytest.raises(ValueError, match=words), Storage(f"sqlite:///{path}").opened():
        pass
    assert path.read_bytes() == before


DAMAGED = {
    "no database": (lambda path: path.write_bytes(b"x" * 5000), "file is not a database"),
    "truncated": (
        lambda path: path.write_bytes(path.read_bytes()[:30000]),
        "(database disk image is malformed|disk I/O error)",
    ),
    "other columns": (
        "DROP TABLE trials; CREATE TABLE trials (a INTEGER)",
        "no such column: trials.trial_id",
    ),
    "no studies": ("DROP TABLE studies", "it is damaged, and has no table studies$"),
    "no tables": (
        "DROP TABLE studies; DROP TABLE trials",
        "it is damaged, and has no table studies and trials$",
    ),
    "no such state": ("UPDATE trials SET state = 'DONE'", "it is damaged, 'DONE' is not among"),
    "no date": ("UPDATE trials SET datetime_start = 'noon'", "it is damaged, Invalid isoformat string"),
    "no JSON": ("UPDATE trial_user_attributes SET value_json = '{'", "it is damaged, Expecting property"),
    "no parameters": ("UPDATE trials SET state = 'COMPLETE'", "it is damaged, trial 0 of a has no "),
    "no text": (
        lambda path: path.write_bytes(path.read_bytes().replace(b"TABLE studies (", b"TABLE studies \x9b")),
        "it has bytes that are no text, 'utf-8' codec",
    ),
    "no direction": ("UPDATE study_directions SET direction = 'UP'", "it is damaged, 'UP' is not among"),
    "another version": ("UPDATE alembic_version SET version_num = 'x'", "The runtime optuna version "),
}  # fmt: skip


@pytest.mark.parametrize(("damage", "words"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_database_is_one_sentence(damage, words, tmp_path, monkeypatch):
    monkeypatch.setattr(storage_module.time, "sleep", lambda seconds: None)
    path = tmp_path / "tune.db"
    with Storage(f"sqlite:///{path}").opened() as connection:
        study = connection.create_new_study([optuna.study.StudyDirection.MINIMIZE], "a")
        connection.set_trial_user_attr(connection.create_new_trial(study), "worker", "me 1")
    if callable(damage):
        damage(path)
    else:
        with closing(sqlite3.connect(path)) as database:
            database.executescript(damage)
    with (
        pytest.raises(OSError, match=rf"^storage sqlite:\S+/tune\.db cannot be used: {words}"),
        Storage(f"sqlite:///{path}").opened(),
    ):
        pass


def test_a_name_that_is_no_utf8_is_refused():
    with (
        pytest.raises(ValueError, match=r"^storage must be a database URL such as "),
        Storage("sqlite:///\udcff.db").opened(),
    ):
        pass
