"""A worker process of `locoprop-ref tune`: it reads its work from its environment, and does it."""

import os
import sys

import msgspec

from locoprop_ref.experiments.pool import begin_as_child
from locoprop_ref.experiments.tune.workers import WORK_VARIABLE, Work


def main() -> int:
    """Do the work; return the exit status of `locoprop-ref`, with an error as one line on standard error."""
    begin_as_child()
    try:
        msgspec.json.decode(os.environ.pop(WORK_VARIABLE), type=Work).run()
    except KeyboardInterrupt:
        return 130
    except (ValueError, TypeError, OSError, MemoryError) as error:
        print(f"locoprop-ref tune: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
