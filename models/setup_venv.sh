#!/bin/sh
# Makes .venv in the repository's root with what models/ and bench/ need, at the versions in requirements.txt.
# usage: models/setup_venv.sh [PYTHON]      default python3 (3.11 or later); an existing .venv is completed
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
requirements=$root/models/requirements.txt
[ -x "$root/.venv/bin/python" ] || "${1:-python3}" -m venv "$root/.venv"
# torch first and alone: in one run with the others, pip may weigh versions of it, at hundreds of megabytes each.
"$root/.venv/bin/pip" install --disable-pip-version-check "$(grep '^torch==' "$requirements")"
"$root/.venv/bin/pip" install --disable-pip-version-check -r "$requirements"
"$root/.venv/bin/python" -c 'import torch, onnx, onnxruntime, sklearn; print("ready: torch", torch.__version__)'
