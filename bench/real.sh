#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The rows of docs/PERFORMANCE.md about real models: gets or exports them where they are not there yet, then compares tlbc with
# ONNX Runtime and, where it can be installed, OpenVINO.
#
#   bench/real.sh TLBC DIR [compare.py's options]        DIR: where the models are kept, about 900 MB
#   MODELS="resnet18 silero_vad" bench/real.sh build/release/tlbc out --threads 1,2 --rounds 3 --seconds 1
#
# Needs .venv (models/setup_venv.sh). Models whose package cannot be fetched are left out, with a line that says so.
set -eu
[ $# -ge 2 ] || { sed -n '6,7s/^# *//p' "$0" >&2; exit 2; }
tlbc=$1 dir=$2
shift 2
root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
peers=ort
"$python" -c 'import openvino' 2>/dev/null || "$python" -m pip install --quiet --disable-pip-version-check openvino >&2 || true
if "$python" -c 'import openvino' 2>/dev/null; then peers=ort,openvino; else echo "OpenVINO is left out: it cannot be installed" >&2; fi
mkdir -p "$dir"
# shellcheck disable=SC2086 # names of models, without blanks
"$python" "$root/bench/real_models.py" -o "$dir" ${MODELS:-} >&2
models=
for name in ${MODELS:-$("$python" "$root/bench/real_models.py" --list)}; do
    if [ -f "$dir/$name/model.onnx" ]; then models="$models $dir/$name"; fi
done
# shellcheck disable=SC2086
exec "$python" "$root/bench/compare.py" --tlbc "$tlbc" --peers "$peers" "$@" $models
