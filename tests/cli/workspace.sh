#!/bin/bash
# Workspaces do not grow by mistake: bytes of one thread, compiled for x86-64-v3, beside those listed in workspace.txt. A twentieth more
# fails, and so does a tenth less, which wants to be kept: TLBC_UPDATE=1 writes the list anew. Say in the commit what the memory is for.
. "$(dirname "$0")/lib.sh"
list=$SOURCE/tests/cli/workspace.txt

bytes_of() { # MODEL
    "$TLBC" compile "$SOURCE/tests/models/$1/model.onnx" -o m.so --cpu=x86-64-v3 >out 2>err || cat err >&2
    "$TLBC" inspect m.so | awk '$1 == "workspace" { print $2 }'
}

: >new
while read -r model listed; do
    found=$(bytes_of "$model")
    echo "$model $found" >>new
    [ -n "${TLBC_UPDATE:-}" ] && continue
    check "$model: ${found:-none} bytes, listed are $listed" \
        [ "${found:-0}" -ge $((listed * 9 / 10)) -a "${found:-0}" -le $((listed * 21 / 20)) ]
done <"$list"
[ -n "${TLBC_UPDATE:-}" ] && cp new "$list"
finish
