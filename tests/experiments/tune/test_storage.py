"""The storage: opened by its URL, also where another command is creating it."""

import optuna
import pytest
from sqlalchemy.exc import IntegrityError
from tiny_tuning import search

from locoprop_ref.experiments.tune import storage as storage_module


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
