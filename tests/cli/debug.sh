#!/bin/bash
# Debug information: gdb shows ONNX nodes and the lines of the printed graph. Skipped without gdb, or where it may not trace.
. "$(dirname "$0")/lib.sh"
model=$SOURCE/tests/models/tlb_tiny/model.onnx

expect 0 "code alone" "$TLBC" compile "$digits" -o plain.so
# (a debug build's own runtime has one)
check "has no line table of the graph" [ "$(grep -c 'plain\.tl' plain.so)" = 0 ]
mkdir -p build elsewhere
expect 0 "code and graph" "$TLBC" compile "$model" -o build/tiny.so --emit=so,graph
check "has a line table of the graph" grep -q 'tiny\.tl' build/tiny.so
expect 0 "the same without" "$TLBC" compile "$model" -o build/bare.so
for name in tiny bare; do
    expect 0 "run $name" "$TLBC" run build/$name.so --input x="$SOURCE/tests/models/tlb_tiny/test_data_set_0/input_0.pb" --output-dir $name
done
check "same bits" cmp -s tiny/logits.npy bare/logits.npy

can_trace() { command -v gdb >/dev/null && gdb -batch -nx -ex run true >trace 2>&1 && grep -q 'exited normally' trace; }
if ! can_trace; then
    [ "$failed" = 0 ] || finish
    exit 77
fi
# The first kernel of an attention, whatever its number is.
kernel=$(gdb -batch -nx -ex "info functions -n Attention" build/tiny.so 2>err | sed -n 's/.*void \(Attention_[0-9]*\)();/\1/p' | head -n 1)
check "kernels are named after operators" [ -n "$kernel" ]
cd elsewhere || exit 1
ASAN_OPTIONS=detect_leaks=0 gdb -batch -nx -ex "set breakpoint pending on" -ex "break $kernel" -ex run -ex "info source" \
    -ex "bt 3" --args "$TLBC" run ../build/tiny.so --random >out 2>err
contains out "Breakpoint 1, $kernel () at tiny.tl:"
contains out "Located in $(realpath ../build)/tiny.tl"
check "the line is the node's" grep -qE "^[0-9]+[[:space:]].*= Attention<.*>\(" out
check "the backtrace names the ONNX node" grep -qE "^#1 .* in /cell/.*/attention/MatMul_1 \(\) at tiny.tl:[0-9]+" out
line=$(sed -n "s/^Breakpoint 1, .*tiny.tl:\([0-9]*\)$/\1/p" out)
check "so does the graph's line" grep -q "/attention/MatMul_1\"$" <(sed -n "${line}p" ../build/tiny.tl)
finish
