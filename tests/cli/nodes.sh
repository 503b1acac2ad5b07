#!/bin/bash
# A graph of 100,000 nodes from the file to a result: Softmax of Softmax of ... of four numbers, which ends at a quarter for each.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/chain.sh"
nodes=100000

chain $nodes >model.onnx

{
    header="{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }"
    printf '\223NUMPY\1\0\166\0%-117s\n' "$header"
    printf '\0\0\200\077\0\0\0\100\0\0\100\100\0\0\0\0' # 1, 2, 3, 0
} >x.npy

expect 0 "compile" "$TLBC" compile model.onnx -o m.so
check "code for one kernel, and calls" [ "$(stat -c %s m.so)" -lt 16000000 ]
expect 0 "run" "$TLBC" run m.so --input v000000=x.npy --output-dir results
for i in 0 1 2 3; do printf '\0\0\200\076'; done >want # 0.25
tail -c 16 "results/v$nodes.npy" >got
check "a quarter each" cmp -s got want
finish
