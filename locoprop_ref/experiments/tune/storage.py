"""The database that holds the studies, opened by its URL; every error is one sentence.

Optuna is imported inside functions, here and in `objective`, because the rest of the package works without
it.
"""

import re
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from locoprop_ref.data.files import user_path

# seconds to wait for another command that is creating the tables
PATIENCE = 5
# tables of Optuna; while another command makes them only some are there
OPTUNAS_TABLES = frozenset(
    """
    alembic_version studies study_directions study_system_attributes study_user_attributes trial_heartbeats
    trial_intermediate_values trial_params trial_system_attributes trial_user_attributes trial_values trials
    version_info
    """.split()
)
# without which the others are the rest of a database
ESSENTIAL = ("studies", "trials")
# seconds to wait while another process writes into an SQLite file
SQLITE_TIMEOUT = 60


def import_optuna() -> Any:
    """Return the module.

    Raises:
        ValueError: it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise ValueError(
            "tune needs Optuna, which cannot be imported here: install locoprop-ref[tune]"
        ) from error
    return optuna


@dataclass(frozen=True)
class Storage:
    """A database for studies.

    Args:
        url: of the database, such as sqlite:///tuning/mnist.db; the folder of a file is made.
        heartbeat: seconds between two signs of life of a running trial; default 10.
        grace: seconds without a sign of life after which a trial is considered dead; default 60.
    """

    url: str
    heartbeat: int = 10
    grace: int = 60

    @contextmanager
    def opened(self) -> Iterator[Any]:
        """Open the storage, and close it at the end; Optuna logs nothing in between.

        Raises:
            ValueError: Optuna or the database's driver is not installed, the URL is not one, or the database
                would not be kept.
            OSError: the database cannot be opened, or the connection was lost.
        """
        optuna = import_optuna()
        from sqlalchemy.exc import SQLAlchemyError

        connection, level = None, optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.CRITICAL + 1)
        try:
            connection = self._connect()
            yield connection
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
            cause = error if isinstance(error, SQLAlchemyError) else error.__cause__
            raise self._unusable(getattr(cause, "orig", None) or cause) from None
        finally:
            optuna.logging.set_verbosity(level)
            if connection is not None:
                connection.remove_session()
                connection.engine.dispose()

    def _connect(self) -> Any:
        optuna, options = import_optuna(), {}
        parsed, url = self._parsed(), self.url
        if parsed.get_backend_name() == "sqlite":
            name = parsed.database or ""
            if (
                not name
                or ":memory:" in name
                or name.startswith("file:")
                or parsed.query.get("mode") == "memory"
            ):
                raise ValueError(f"storage must be a file or a server's, got {self.url!r}, kept nowhere")
            file = user_path(name, "storage")
            file.parent.mkdir(parents=True, exist_ok=True)
            url = parsed.set(database=str(file)).render_as_string(hide_password=False)
            options = {"connect_args": {"timeout": SQLITE_TIMEOUT}}
        try:
            self._refuse_another_programs(url)
            with warnings.catch_warnings():
                # Optuna calls its heartbeat experimental; without it a killed worker's trial would never end
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                connection = _made_or_found(
                    lambda: optuna.storages.RDBStorage(
                        url, options, heartbeat_interval=self.heartbeat, grace_period=self.grace
                    )
                )
            self._read_everything(connection)
            return connection
        except ImportError as error:
            raise ValueError(
                f"storage {self._without_password()} needs a driver that cannot be imported here: "
                f"{error.__cause__ or error}"
            ) from None
        except RuntimeError as error:  # made by another version of Optuna
            raise self._unusable(error) from None
        except UnicodeError as error:  # of a damaged page
            raise self._unusable(f"it has bytes that are no text, {error}") from None

    def _refuse_another_programs(self, url: str) -> None:
        """Look into the database, and raise ValueError where another program has its tables in it."""
        from sqlalchemy import create_engine, inspect

        engine = create_engine(url)
        try:
            tables = set(inspect(engine).get_table_names())
            for _ in range(PATIENCE):  # another command may be making them
                if not OPTUNAS_TABLES & tables or tables.issuperset(ESSENTIAL):
                    break
                time.sleep(1)
                tables = set(inspect(engine).get_table_names())
        finally:
            engine.dispose()
        missing = [name for name in ESSENTIAL if name not in tables]
        if missing and OPTUNAS_TABLES & tables:
            raise self._unusable(f"it is damaged, and has no table {' and '.join(missing)}")
        if tables and not OPTUNAS_TABLES & tables:
            got = f"{self._without_password()} with other tables: {', '.join(sorted(tables)[:3])}"
            raise ValueError(f"storage must be a new database or one with studies of Optuna, got {got}")

    def _read_everything(self, connection: Any) -> None:
        """Read every study and trial once, so that a damaged row is found here, where it has a sentence."""
        try:
            for study in connection.get_all_studies():
                for trial in connection.get_all_trials(study._study_id, deepcopy=False):
                    if trial.state.name in ("COMPLETE", "PRUNED") and not trial.params:
                        raise LookupError(f"trial {trial.number} of {study.study_name} has no parameters")
        except (LookupError, TypeError, ValueError) as error:  # words, dates and JSON that are none
            raise self._unusable(f"it is damaged, {error}") from None

    def _parsed(self) -> Any:
        """Return the parts of the URL.

        Raises:
            ValueError: it is not one.
        """
        from sqlalchemy import make_url
        from sqlalchemy.exc import ArgumentError

        try:
            self.url.encode()  # no database has a name that is no UTF-8
            return make_url(self.url)
        except (ArgumentError, ValueError):
            got = re.sub(r"//.*@", "//***@", self.url)
            raise ValueError(
                f"storage must be a database URL such as sqlite:///tuning/mnist.db, got {got!r}"
            ) from None

    def _without_password(self) -> str:
        parsed = self._parsed()
        hidden = {name: "hidden" for name in parsed.query if "pass" in name.lower()}
        return str(parsed.update_query_dict(hidden).render_as_string(hide_password=True))

    def _unusable(self, reason: object) -> OSError:
        words = " ".join(str(reason).split())
        return OSError(f"storage {self._without_password()} cannot be used: {words}")


def _made_or_found(connect: Callable[[], Any]) -> Any:
    """Return the storage; where another command is creating its tables, wait and try again."""
    from sqlalchemy.exc import IntegrityError, SQLAlchemyError

    for _ in range(PATIENCE):
        try:
            return connect()
        except SQLAlchemyError as error:
            if not (isinstance(error, IntegrityError) or "already exists" in str(error)):
                raise
            time.sleep(1)
    return connect()
