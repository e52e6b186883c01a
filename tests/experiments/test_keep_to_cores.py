"""A process that keeps itself to its share of the cores."""

import subprocess
import sys

import pytest
from numpy.testing import assert_equal
from small_runs import environment

from locoprop_ref.parallel import keep_to_cores


def test_a_process_keeps_to_its_share_of_the_cores():
    code = (
        "import os; from locoprop_ref.parallel import keep_to_cores; "
        "from locoprop_ref.training.environment import blas_libraries; "
        "all = sorted(os.sched_getaffinity(0)); keep_to_cores(1, 2); "
        "print(sorted(os.sched_getaffinity(0)) == all[1 % len(all)::2], "
        "{b['threads'] for b in blas_libraries()} == {len(all[1 % len(all)::2])})"
    )
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment(None))
    assert_equal(done.stdout.split(), ["True", "True"])
    with pytest.raises(ValueError, match="jobs must be an integer of at least 1"):
        keep_to_cores(0, 0)
