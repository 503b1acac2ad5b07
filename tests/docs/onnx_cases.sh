#!/bin/bash
# tests/docs/onnx_cases.txt, which tests/docs/ops.sh puts into docs/OPS.md: how many of ONNX's own cases name an operator ("Abs ai.onnx 12").
# Left out are the cases that tests/conformance/skip.txt lists: they prove nothing.
#   tests/docs/onnx_cases.sh TLBC DATA            compare; status 1 and the difference where it is out of date
#   tests/docs/onnx_cases.sh TLBC DATA --update   write it anew
# DATA is what tools/onnx_data.sh makes. Status 77: it is not there.
set -euo pipefail
tlbc=$(realpath "${1:?the program}")
data=$(realpath -m "${2:?the folder with the data of ONNX}")
cd "$(dirname "$0")/../.."
table=tests/docs/onnx_cases.txt
[ -d "$data/node" ] && [ -d "$data/light" ] || { echo "no data in $data"; exit 77; }

cases() {
    find -L "$data"/{node,simple,pytorch-operator,pytorch-converted}/*/model.onnx "$data"/light/*.onnx |
        grep -vFf <(awk '!/^#/ {print "/" $1 "/model.onnx"}' tests/conformance/skip.txt) | LC_ALL=C sort
}
counted=$(cases | xargs "$tlbc" ops | awk '{n[$1 " " $2]++} END {for (op in n) print op, n[op]}' | LC_ALL=C sort)
if [ "${3:-}" = --update ]; then
    printf '%s\n' "$counted" >$table
elif ! printf '%s\n' "$counted" | diff -u $table -; then
    echo "$table is out of date: tests/docs/onnx_cases.sh $tlbc $data --update"
    exit 1
else
    echo "$table is current"
fi
