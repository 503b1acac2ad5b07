#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The rows of docs/PERFORMANCE.md about TLB models: exports them where they are not there yet, then compares tlbc with ONNX Runtime.
#
#   bench/tlb.sh TLBC DIR [compare.py's options]        DIR: where the exports are kept, about 300 MB
#   bench/tlb.sh build/release/tlbc out --threads 1,2 --rounds 3 --seconds 2
#
# Needs .venv (models/setup_venv.sh). Every model is unrolled, as exporters write it, and a Loop of open length.
set -eu
[ $# -ge 2 ] || { sed -n '5,6s/^# *//p' "$0" >&2; exit 2; }
tlbc=$1 dir=$2
shift 2
root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
models=
for size in ${SIZES:-lra_listops lra_text400 lra_retrieval_side lra_image lra_pathfinder keras_cifar tf_cifar tf_imagenette vit_s cifar tiny test}; do
    for form in ${FORMS:-unrolled loop}; do
        to=$dir/${size}_$form
        [ -f "$to/model.onnx" ] || "$python" "$root/models/export.py" "tlb:$size" --form "$form" -o "$to" >&2
        models="$models $to"
    done
done
exec "$python" "$root/bench/compare.py" --tlbc "$tlbc" "$@" $models
