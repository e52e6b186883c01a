r"""Memory that a step frees stays in the process for the next step, where the C library can be told so.

A step makes the same large arrays as the one before. By default glibc, the C library of most Linux systems,
returns large freed blocks to the system, which hands them out again page by page, each filled with zeros:
that is 3 to 6 % of the time of a dense step, and up to a fifth of a convolutional one.
"""

import ctypes
import platform
from contextlib import suppress

# numbers of the options in <malloc.h>
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


def keeps_freed_memory() -> bool:
    """Tell whether `keep_freed_memory` has an effect here: on Linux with glibc."""
    return platform.system() == "Linux" and platform.libc_ver()[0] == "glibc"


def keep_freed_memory(up_to: int = 2**30) -> bool:
    """Ask glibc to keep freed memory for later arrays; elsewhere do nothing.

    It holds for the whole process and cannot be undone; the commands that train call it when they start. The
    peak of what a process needs does not change, but it holds that much until it ends.

    Args:
        up_to: size in bytes from which on a block is returned at once nevertheless, default 2³⁰.

    Returns:
        whether glibc took it.
    """
    if not keeps_freed_memory():
        return False
    with suppress(AttributeError, OSError):
        libc = ctypes.CDLL(None)
        # a size of 2³¹ − 1, the largest that the option takes: memory at the end of the heap is kept, too
        return bool(libc.mallopt(M_MMAP_THRESHOLD, up_to) and libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
    return False
