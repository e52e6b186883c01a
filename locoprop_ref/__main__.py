"""`python -m locoprop_ref` is the command `locoprop-ref`."""

import sys

from locoprop_ref.cli import main

sys.exit(main())
