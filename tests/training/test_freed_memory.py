"""Freed memory stays in the process where the C library is glibc, and nothing happens elsewhere."""

import platform
import subprocess
import sys

import pytest

from locoprop_ref.training import memory

# page faults of ten arrays of 40 MB, one after the other, before and after
FAULTS = """
import resource
import numpy as np
from locoprop_ref.training.memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        np.full(10_000_000, 1.0, dtype="float32")
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

usual = faults()
assert keep_freed_memory()
np.full(10_000_000, 1.0, dtype="float32")
print(usual, faults())
"""


@pytest.mark.full
@pytest.mark.skipif(not memory.keeps_freed_memory(), reason="the C library is another one")
def test_pages_are_not_taken_again():
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    usual, kept = map(int, done.stdout.split())
    # 40 MB are 10,000 pages, or 20 where the system gives pages of 2 MB; ten times
    assert kept < usual / 5


@pytest.mark.parametrize(("system", "libc"), [("Darwin", ""), ("Windows", ""), ("Linux", "musl")])
def test_other_systems_are_left_alone(monkeypatch, system, libc):
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "libc_ver", lambda: (libc, ""))
    monkeypatch.setattr(memory.ctypes, "CDLL", None)  # would be an error
    assert not memory.keep_freed_memory()


def test_a_library_that_refuses_is_no_error(monkeypatch):
    asked = []

    class Library:
        def mallopt(self, option, value):
            asked.append((option, value))
            return 0

    monkeypatch.setattr(memory, "keeps_freed_memory", lambda: True)
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: Library())
    assert not memory.keep_freed_memory(2**20)
    assert asked == [(memory.M_MMAP_THRESHOLD, 2**20)]
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: object())  # has no mallopt
    assert not memory.keep_freed_memory()
