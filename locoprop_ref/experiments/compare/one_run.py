"""One run of a comparison: its options, how far it is, and the `train` command that makes the rest of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from locoprop_ref.experiments.pool import Command, own_command
from locoprop_ref.training.config import resolve
from locoprop_ref.training.options import Config
from locoprop_ref.training.run_file import read_run


@dataclass(frozen=True)
class Run:
    """One run: the entry, the seed, its options for `config.resolve`, and its run file."""

    entry: str
    seed: int
    options: Mapping[str, Any]
    out: Path

    @property
    def name(self) -> str:
        """The run in words."""
        return f"{self.entry} seed {self.seed}"

    @property
    def config(self) -> Config:
        """The settings, complete."""
        return resolve(**self.options)

    def on_disk(self) -> dict[str, Any] | None:
        """Return the content of the run file, None where there is none yet."""
        return read_run(self.out) if self.out.exists() else None

    def epochs_left(self) -> int:
        """Return how many epochs are still to be trained; 0 after divergence."""
        run = self.on_disk()
        if run is None:
            return self.options["epochs"]
        if run["status"] == "diverged":
            return 0
        return max(0, self.options["epochs"] - run["epochs"][-1]["epoch"])

    def is_done(self) -> bool:
        """Tell whether nothing is left to do: the last epoch is there, or the run diverged."""
        return self.epochs_left() == 0

    def command(self, jobs: int | None, data_dir: str | None) -> Command:
        """Return the `train` command that makes this run, or what of it is not there yet.

        Args:
            jobs: runs side by side, for the run file; None where that is not known.
            data_dir: see `data.load`.
        """
        folder = None if data_dir is None else absolute(data_dir)
        where = {"out": self.out.absolute(), "jobs_beside": jobs, "data_dir": folder}
        words = [_word(name, value) for name, value in {**self.options, **where}.items() if value is not None]
        return own_command(self.name, "train", "--resume", *words)


def absolute(path: str) -> str:
    """Return a path as every process finds it, in whatever folder it works."""
    return str(Path(path).expanduser().absolute())


def _word(option: str, value: Any) -> str:
    """Return an option as the command line takes it.

    >>> _word("local_lr", 1e-5), _word("project_targets", False)
    ('--local-lr=1e-05', '--no-project-targets')
    """
    name = option.replace("_", "-")
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no-{name}"
    return f"--{name}={value}"
