r"""One experiment: every choice a named field, with its default and where that comes from.

`Config` holds what was asked for; a field that is None takes the default of its preset, data set, method or
optimizer. `resolve` fills them in, refuses options that mean nothing for the method, and returns a Config
that says everything. The command line is made from the same table.

>>> resolve(preset="paper").layers
'784-1000-500-250-30-250-500-1000-784'
>>> resolve(method="backprop", num_local_steps=3)
Traceback (most recent call last):
    ...
ValueError: num_local_steps has no meaning for method backprop
"""

from locoprop_ref.config.build import (
    build_method,
    build_network,
    epoch_rate,
    layer_sizes,
    layer_transfers,
)  # fmt: skip
from locoprop_ref.config.resolve import APPLIES, PRESETS, resolve
from locoprop_ref.config.table import SCHEDULES, TASKS, Config, as_json, from_json

__all__ = [
    "APPLIES", "PRESETS", "SCHEDULES", "TASKS", "Config", "as_json", "build_method", "build_network",
    "epoch_rate", "from_json", "layer_sizes", "layer_transfers", "resolve",
]  # fmt: skip
