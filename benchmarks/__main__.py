"""`python -m benchmarks`: the command line, in a process without BLAS variables."""

import subprocess
import sys

from benchmarks.worker import without_blas_variables

command = [sys.executable, "-m", "benchmarks.cli", *sys.argv[1:]]
sys.exit(subprocess.run(command, env=without_blas_variables(), check=False).returncode)
