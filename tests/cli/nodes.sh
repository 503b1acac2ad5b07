#!/bin/bash
# A graph of 100,000 nodes from the file to a result: Softmax of Softmax of ... of four numbers, which ends at a quarter for each. Written
# byte by byte: names of seven letters make all nodes equally long.
. "$(dirname "$0")/lib.sh"
nodes=100000

varint() {
    local v=$1
    while [ "$v" -gt 127 ]; do printf "\\x$(printf %02x $((v & 127 | 128)))"; v=$((v >> 7)); done
    printf "\\x$(printf %02x "$v")"
}
# name of a value of f32[4]
value() { printf '\012\007%s\022\012\012\010\010\001\022\004\012\002\010\004' "$1"; }

{
    printf '\010\010\102\002\020\015\072' # ir_version 8, opset 13, graph
    varint $((nodes * 29 + 3 + 2 * 23))
    LC_ALL=C awk -v n=$nodes 'BEGIN {
        for (i = 0; i < n; i++) printf "\012\033\012\007v%06d\022\007v%06d\042\007Softmax", i, i + 1
    }'
    printf '\022\001g\132\025'
    value v000000
    printf '\142\025'
    value "v$nodes"
} >model.onnx

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
