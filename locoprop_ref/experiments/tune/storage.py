"""The database that studies are kept in, opened by its URL; every trouble with it is one sentence.

Optuna is imported inside functions, here and in `objective`: the rest of the package does without it.
"""

import re
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# so many seconds for another command to make the tables
PATIENCE = 5


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


@contextmanager
def opened(url: str, *, heartbeat: int = 10, grace: int = 60, known: bool = False) -> Iterator[Any]:
    """Open a storage, and close it at the end; Optuna is silent in between.

    Args:
        url: of the database, such as sqlite:///tuning/mnist.db; folders of a file are made.
        heartbeat: seconds from one sign of life of a running trial to the next; default 10.
        grace: seconds without one after which a trial is taken for dead; default 60.
        known: the storage has been opened before and its version need not be looked at again.

    Raises:
        ValueError: Optuna or the database's driver is not installed, the URL is none, or names no lasting
            storage.
        OSError: the database cannot be opened, or was lost in between.
    """
    optuna = import_optuna()
    from sqlalchemy.exc import SQLAlchemyError

    storage, level = None, optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL + 1)
    try:
        storage = _storage(url, heartbeat, grace, known)
        yield storage
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        cause = error if isinstance(error, SQLAlchemyError) else error.__cause__
        raise _unusable(url, getattr(cause, "orig", None) or cause) from None
    finally:
        optuna.logging.set_verbosity(level)
        if storage is not None:
            storage.remove_session()
            storage.engine.dispose()


def _storage(url: str, heartbeat: int, grace: int, known: bool) -> Any:
    optuna, options = import_optuna(), {}
    parsed = _parsed(url)
    if parsed is None:
        wanted = "a database URL such as sqlite:///tuning/mnist.db"
        raise ValueError(f"storage must be {wanted}, got {_without_password(url)!r}")
    if parsed.get_backend_name() == "sqlite":
        if not parsed.database or ":memory:" in parsed.database:
            raise ValueError(f"storage must be a file or a server's, got {url!r}, kept nowhere")
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        options = {"connect_args": {"timeout": 60}}  # seconds to wait while another worker writes
    try:
        with warnings.catch_warnings():
            # Optuna calls its heartbeat experimental; without it a killed worker's trial would run for ever
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return _made_or_found(
                lambda: optuna.storages.RDBStorage(
                    url, options, known, heartbeat_interval=heartbeat, grace_period=grace
                )
            )
    except ImportError as error:
        raise ValueError(
            f"storage {_without_password(url)} needs a driver that cannot be imported here: "
            f"{error.__cause__ or error}"
        ) from None
    except RuntimeError as error:  # made by another version of Optuna
        raise _unusable(url, error) from None


def _made_or_found(connect: Callable[[], Any]) -> Any:
    """Return the storage; where another command makes its tables at this very moment, wait and look again."""
    from sqlalchemy.exc import IntegrityError, SQLAlchemyError

    for _ in range(PATIENCE):
        try:
            return connect()
        except SQLAlchemyError as error:
            if not (isinstance(error, IntegrityError) or "already exists" in str(error)):
                raise
            time.sleep(1)
    return connect()


def _unusable(url: str, reason: object) -> OSError:
    return OSError(f"storage {_without_password(url)} cannot be used: {' '.join(str(reason).split())}")


def _parsed(url: str) -> Any:
    """Return a database URL in its parts, None where it is none."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url)
    except (ArgumentError, ValueError):
        return None


def _without_password(url: str) -> str:
    parsed = _parsed(url)
    if parsed is None:
        return re.sub(r"//.*@", "//***@", url)
    hidden = {name: "hidden" for name in parsed.query if "pass" in name.lower()}
    return parsed.update_query_dict(hidden).render_as_string(hide_password=True)
