"""`python -m locoprop_ref` is the command `locoprop-ref`."""

import sys

from locoprop_ref.cli.main import main

sys.exit(main())
