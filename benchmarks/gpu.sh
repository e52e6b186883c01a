#!/usr/bin/env bash
# Everything that needs a GPU, in one go under ten minutes: installs CuPy and PyTorch beside the package in
# .venv, runs the tests on CuPy and the benchmarks, and writes benchmarks/results/gpu.json and gpu.txt.
#
#     benchmarks/gpu.sh                   on a machine with an NVIDIA GPU and CUDA 12
#     benchmarks/gpu.sh --backend numpy   without one: the same rows, what needs a GPU says so
#
# Further words go to `python -m benchmarks gpu`: --minutes N, --rounds N.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
make setup
if command -v nvidia-smi >/dev/null; then
    # the wheel for CUDA 12; with another version of CUDA install another, see docs/installation.md
    .venv/bin/python -m pip install --disable-pip-version-check --no-input --quiet \
        --constraint requirements/other-libraries.txt cupy-cuda12x torch
fi
exec .venv/bin/python -m benchmarks gpu "$@"
