#!/bin/bash
# Time and memory grow with the nodes of a graph, not with their square: four times the nodes may take up to eight times the processor
# time. The smallest of three runs each, since others may be at work. What is compiled needs no more workspace.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/chain.sh"

# milliseconds of processor time of one run
run_time() {
    local TIMEFORMAT='%U %S'
    { time "$TLBC" compile "$1.onnx" -o "$1.so" >/dev/null 2>err; } 2>&1 | awk '{ printf "%d\n", 1000 * ($1 + $2) }'
}
best_time() {
    for _ in 1 2 3; do run_time "$1"; done | sort -n | head -n 1
}
workspace() {
    "$TLBC" inspect "$1.so" | awk '$1 == "workspace" { print $2 }'
}

chain 1500 >small.onnx
chain 6000 >large.onnx
small=$(best_time small) large=$(best_time large)
check "both are compiled" [ -s small.so -a -s large.so -a "$small" -gt 0 ]
check "$small ms for 1500 nodes, $large ms for 6000" [ "$large" -le $((8 * small)) ]
check "two results at a time" [ "$(workspace large)" = 128 ]
finish
