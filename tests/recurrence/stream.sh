#!/bin/bash
# A model for the whole sequence against the step function made of it, all bits: tlbc verify --stream, with 1 and 2 threads, and
# nine streams in one session against one session each: tlbc verify --streams, for each line
#   // STREAM: x:1:4,y:1:4
# of a .tl file, or for MODEL.onnx with the spec given, and options for `verify`.
#   stream.sh FILE.tl        stream.sh MODEL.onnx x:1:4 --dim time=24
set -u
: "${TLBC:?path of the program}"
file=$1
specs=${2:-$(sed -n 's,^// STREAM: ,,p' "$file")}
[ -n "$specs" ] || { echo "$file has no line // STREAM:"; exit 1; }
status=0
for spec in $specs; do
    for threads in 1 2; do
        "$TLBC" verify "$file" --stream "$spec" --threads $threads --runs 5 "${@:3}" || { echo "FAIL: --stream $spec, $threads threads"; status=1; }
    done
    "$TLBC" verify "$file" --stream "$spec" --streams 9 --threads 2 --runs 1 "${@:3}" || { echo "FAIL: --stream $spec --streams 9"; status=1; }
done
exit $status
