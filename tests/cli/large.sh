#!/bin/bash
# More than 2 GB of weights in a file beside the model: 8,650,000 rows of 64 floats, nearly all of them a hole in the file. Row i of the
# three that are looked up is the last one, number 5, and the last one again, counted from the end.
. "$(dirname "$0")/lib.sh"
rows=8650000
cp "$SOURCE/tests/data/large/model.onnx" .
truncate -s $((rows * 256)) weights.bin

floats() { for ((i = 0; i < 64; i++)); do printf "$1"; done; }
floats '\0\0\0\100' | dd of=weights.bin bs=256 seek=5 conv=notrunc status=none            # 2.0
floats '\0\0\100\100' | dd of=weights.bin bs=256 seek=$((rows - 1)) conv=notrunc status=none # 3.0

{
    header="{'descr': '<i8', 'fortran_order': False, 'shape': (3,), }"
    printf '\223NUMPY\1\0\166\0%-117s\n' "$header"
    printf '\017\375\203\0\0\0\0\0\5\0\0\0\0\0\0\0\377\377\377\377\377\377\377\377' # 8649999, 5, -1
} >i.npy

expect 0 "compile" "$TLBC" compile model.onnx -o m.so --weights=file
check "the library is small" [ "$(stat -c %s m.so)" -lt 61440 ]
check "the weights are beside it" [ "$(stat -c %s m.weights)" -ge $((rows * 256)) ]
expect 0 "run" "$TLBC" run m.so --input i=i.npy --output-dir results
{ floats '\0\0\100\100'; floats '\0\0\0\100'; floats '\0\0\100\100'; } >want
tail -c 768 results/y.npy >got
check "the rows that were asked for" cmp -s got want
finish
