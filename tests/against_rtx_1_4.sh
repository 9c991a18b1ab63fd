#!/usr/bin/env bash
# The build tests against TensorRT for RTX 1.4, whose interface is that of TensorRT 10: the names and
# numbers of enumerations are others than in 1.7, whose interface is that of TensorRT 11.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=$(mktemp -d)/venv
trap 'rm -rf "$(dirname "$venv")"' EXIT
python3 -m venv "$venv"
"$venv/bin/pip" install --quiet . tensorrt-rtx==1.4.0.76 \
    'pytest>=9,<10' pytest-timeout pytest-xdist hypothesis
"$venv/bin/python" -m pytest tests/engines/test_tensorrt_build.py "$@"
