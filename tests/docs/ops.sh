#!/bin/bash
# docs/OPS.md against `tlbc ops`: the tables behind its marker lines are what the program prints.
#   tests/docs/ops.sh TLBC            compare; status 1 and the difference where it is out of date
#   tests/docs/ops.sh TLBC --update   write them anew
set -eu
tlbc=$(realpath "${1:?the program}")
cd "$(dirname "$0")/../.."
expected=$(
    sed '/^<!-- made by tlbc ops --md -->$/q' docs/OPS.md
    "$tlbc" ops --md
    missing=$("$tlbc" ops --missing)
    printf '\n## ONNX operators that are missing\n\n%s\n' "${missing:-None.}"
)
if [ "${2:-}" = --update ]; then
    printf '%s\n' "$expected" >docs/OPS.md
elif ! printf '%s\n' "$expected" | diff -u docs/OPS.md -; then
    echo "docs/OPS.md is out of date: tests/docs/ops.sh $tlbc --update"
    exit 1
else
    echo "docs/OPS.md is current"
fi
