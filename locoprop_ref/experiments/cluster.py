"""Commands as processes on the workers of a Dask cluster, so that a comparison outgrows one machine.

    dask scheduler                                            on one machine
    dask worker tcp://HOST:8786 --nthreads 1 --nworkers N     on every machine
    locoprop-ref compare --out FOLDER --scheduler tcp://HOST:8786

A Dask scheduler runs the code of everyone who reaches its port: keep it on a private network.

The folder of the results must be on a file system that all workers share: every worker looks for a file in
it, first of all and before each command. A worker runs as many commands side by side as it has threads, with
its own Python. A command whose worker has died starts again on another worker, where `train --resume` goes on
from the last complete epoch; a command whose process has died is one failed command.

Commands end with the command line that started them. The scheduler then releases their tasks, and a worker
ends the process of a task that was released.
"""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from locoprop_ref.experiments.pool import (
    SECONDS_BETWEEN_TICKS,
    THREAD_VARIABLES,
    Command,
    Finished,
    start,
    wait_for,
)

SECONDS_TO_ANSWER = 30


def run_on_cluster(
    commands: Sequence[Command],
    address: str,
    *,
    folder: Path,
    tick: Callable[[], None] = lambda: None,
) -> Generator[Finished, None, None]:
    """Run commands as processes of the workers; yield each as it ends. The same interface as `run_processes`.

    Args:
        commands: commands of this package, see `pool.own_command`.
        address: of the scheduler, tcp://HOST:PORT.
        folder: where the commands write; a file system that all workers share.
        tick: called here twice a second while nothing ends.

    Raises:
        ValueError, OSError: see `shared_folder`.
        KeyboardInterrupt: passed on, after the commands were told to end and have ended.
    """
    with shared_folder(address, folder) as (client, mark):
        left = {
            client.submit(
                run_here,
                list(command.arguments[1:]),
                dict(command.environment),
                str(mark),
                key=f"{command.name} {uuid.uuid4().hex}",
                priority=-number,
            ): command
            for number, command in enumerate(commands)
        }
        try:
            while left:
                ended = [future for future in left if future.done()]
                for future in ended:
                    yield _finished(left.pop(future), future)
                if not ended:
                    time.sleep(SECONDS_BETWEEN_TICKS)
                    tick()
        finally:
            _stop(client, list(left))


@contextmanager
def shared_folder(address: str, folder: Path) -> Iterator[tuple[Any, Path]]:
    """Connect to a scheduler, and keep a file in a folder that every worker sees; yield client and file.

    Raises:
        ValueError: `distributed` is not installed, or the address is none.
        OSError: no scheduler answers, it has no workers, or a worker does not see the file.
    """
    client = _connect(address)
    mark = folder.absolute() / f".shared-{uuid.uuid4().hex}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        mark.touch()
        for worker, sees in client.run(os.path.isfile, str(mark)).items():
            if not sees:
                raise OSError(_not_shared(folder, f"worker {worker}"))
        yield client, mark
    finally:
        mark.unlink(missing_ok=True)
        client.close()


def _not_shared(folder: Path, who: str) -> str:
    return f"out must be on a file system that all workers share, got {folder}, which {who} does not see"


def _connect(address: str) -> Any:
    try:
        from distributed import Client
    except ImportError:
        raise ValueError(
            "scheduler needs the package distributed, which is not installed: "
            "pip install 'locoprop-ref[cluster]'"
        ) from None
    logging.getLogger("asyncio").addFilter(_says_something)
    try:
        client = Client(address, timeout=SECONDS_TO_ANSWER, set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise OSError(
            f"scheduler must be the address of a Dask scheduler that answers, got {address}"
        ) from error
    except ValueError as error:
        raise ValueError(f"scheduler must be an address such as tcp://HOST:PORT, got {address!r}") from error
    try:
        client.wait_for_workers(1, timeout=SECONDS_TO_ANSWER)
    except TimeoutError as error:
        client.close()
        raise OSError(f"scheduler must have at least one worker, got {address}, which has none") from error
    return client


def _says_something(record: logging.LogRecord) -> bool:
    """Tell a message of asyncio from the one about a timer that ran out while its connection was closed.

    A connection of `distributed` waits with a timer for what is to be sent. Nobody asks for the end of the
    timer of a closed connection, which asyncio then prints as an exception that was never retrieved.
    """
    error = record.exc_info[1] if record.exc_info else None
    return not (isinstance(error, TimeoutError) and "never retrieved" in record.getMessage())


def _finished(command: Command, future: Any) -> Finished:
    from distributed.scheduler import KilledWorker

    if future.status == "finished":
        return_code, lines = future.result()
        return Finished(command, return_code, tuple(lines))
    error = future.exception() if future.status == "error" else "the scheduler has given it up"
    if isinstance(error, KilledWorker):
        return Finished(command, -signal.SIGTERM, ())
    return Finished(command, 1, (" ".join(str(error).split()) or type(error).__name__,))


def _stop(client: Any, futures: Sequence[Any]) -> None:
    """Release the tasks, and wait until no worker runs any of them."""
    keys = {future.key for future in futures}
    with suppress(OSError, TimeoutError):
        client.cancel([future for future in futures if not future.done()])
        while any(keys & set(running) for running in client.run(running_tasks).values()):
            time.sleep(SECONDS_BETWEEN_TICKS)


# on a worker ------------------------------------------------------------------------------------------


def running_tasks(dask_worker: Any) -> list[str]:
    """Return the keys of the tasks that a worker runs."""
    return list(dask_worker.active_threads.values())


def run_here(arguments: list[str], environment: dict[str, str], mark: str) -> tuple[int, list[str]]:
    """Run a command with the Python of this worker; return its exit status and last lines.

    Args:
        arguments: after the name of the Python.
        environment: variables besides those of the worker.
        mark: the file that shows that the folder is shared.
    """
    from distributed import get_worker

    worker = get_worker()
    if not os.path.isfile(mark):
        return 1, [_not_shared(Path(mark).parent, f"worker {worker.address}")]
    side_by_side, limits = worker.state.nthreads, {}
    if side_by_side > 1:
        limits = dict.fromkeys(THREAD_VARIABLES, str(max(1, (os.cpu_count() or 1) // side_by_side)))
    command = Command("", [sys.executable, *arguments], environment)
    process, ended = start(command, limits), threading.Event()
    watch = (worker, worker.get_current_task(), process, ended)
    threading.Thread(target=_end_when_released, args=watch, daemon=True).start()
    try:
        finished = wait_for(process, command)
    finally:
        ended.set()
    return finished.return_code, list(finished.last_lines)


def _end_when_released(
    worker: Any, key: str, process: "subprocess.Popen[str]", ended: threading.Event
) -> None:
    while not ended.wait(SECONDS_BETWEEN_TICKS):
        task = worker.state.tasks.get(key)
        if task is None or task.state != "executing":
            process.terminate()
            return
