"""The name of a run: its method, its data, its seed, and what else it differs in from the defaults."""

import hashlib
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

from locoprop_ref import checks
from locoprop_ref.training.config import resolve
from locoprop_ref.training.options import Config

# what the beginning and the end of the name say
_SAID = ("method", "data", "seed")


def run_name(config: Config, *, longest: int = 60) -> str:
    """Return a name that two runs share only if they differ in nothing but the number of epochs to train.

    In the order of `Config`, every option is named whose value would be another one if only the options
    before it had been given. The number of epochs is the one that the schedule is made for: a run that is
    continued keeps its name.

    Args:
        config: from `config.resolve`.
        longest: most characters for the options; more than these become eight digits that stand for all.

    Returns:
        METHOD-DATA-seedN, with the options in front of the seed.

    >>> run_name(resolve(method="kfac"))
    'kfac-curves-seed0'
    >>> run_name(resolve(method="kfac", damping=0.1, bias=False, seed=3))
    'kfac-curves-no_bias-damping0.1-seed3'
    >>> run_name(resolve("paper", epochs=3)), run_name(resolve(epochs=3))
    ('locoprop-m-mnist-epochs99-seed0', 'locoprop-m-curves-epochs3-seed0')
    """
    checks.instance("config", config, Config, "a Config, as config.resolve makes")
    words = [_word(name, value) for name, value in _differences(config).items()]
    options = "".join(f"-{word}" for word in words)
    if len(options) > longest:
        options = "-" + hashlib.sha256(options.encode()).hexdigest()[:8]
    return f"{config.method}-{Path(config.data).stem}{options}-seed{config.seed}"


def _differences(config: Config) -> dict[str, Any]:
    """Return the options that are not what follows from those before them."""
    chosen: dict[str, Any] = {"method": config.method, "data": config.data}
    found: dict[str, Any] = {}
    base = _resolved(chosen)
    if base is None:  # a user's own data have no network of their own
        found["layers"] = chosen["layers"] = config.layers
        base = _resolved(chosen)
    for name, value in _as_one_length(config).items():
        if name not in (*_SAID, *found) and (base is None or getattr(base, name) != value):
            found[name] = chosen[name] = value
            base = _resolved(chosen) or base
    return found


def _as_one_length(config: Config) -> dict[str, Any]:
    """Return the options, with the epochs that the schedule is made for; a constant rate is made for any."""
    values = {f.name: getattr(config, f.name) for f in fields(Config)}
    schedule = values.pop("schedule_epochs")
    if schedule is None:
        del values["epochs"]
    else:
        values["epochs"] = max(schedule - 1, 0)
    return values


def _resolved(chosen: dict[str, Any]) -> Config | None:
    """Return the Config of some options, None where they have a meaning only beside later ones."""
    try:
        return resolve(**chosen)
    except ValueError:
        return None


def _word(name: str, value: Any) -> str:
    """Return an option as part of a file's name."""
    spelled = f"no_{name}" if value is False else name if value is True else f"{name}{value}"
    return re.sub(r"[^\w.,+-]", "_", spelled)
