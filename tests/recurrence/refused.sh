#!/bin/bash
# A model that cannot be streamed: the error names a node, or the input, and says TEXT.
#   refused.sh MODEL.onnx TEXT x:1:4 [OPTION...]
set -u
: "${TLBC:?path of the program}"
model=$1 text=$2
found=$("$TLBC" verify "$model" --stream "${@:3}" 2>&1) && { echo "FAIL: it is not refused"; exit 1; }
grep -qF -- "$text" <<<"$found" || { printf 'FAIL: expected "%s", found:\n%s\n' "$text" "$found"; exit 1; }
grep -qE "node '[^']+' \([A-Za-z]+\)|--stream [a-z]+:" <<<"$found" || { printf 'FAIL: no node is named:\n%s\n' "$found"; exit 1; }
