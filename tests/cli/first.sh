#!/bin/bash
# What a state begins with: the values of a file, as a caller would hand them in, and what is wrong with them.
. "$(dirname "$0")/lib.sh"
folder=$SOURCE/tests/models/seeds/tlb_step_ts
model=$folder/model.onnx
x=$folder/test_data_set_0/input_0.pb
state=$folder/test_data_set_1/input_1.pb # what the first step left: the first set has zeros
names=$(cat "$folder/states.txt")

expect 0 "a first state" "$TLBC" compile "$model" --state "$names" --first state="$state" -o first.so
expect 0 "inspect" "$TLBC" inspect first.so
contains out "given at first"
expect 0 "a step" "$TLBC" run first.so --input x="$x" --output-dir kept
expect 0 "by hand" "$TLBC" run "$model" --input x="$x" --input state="$state" --output-dir given
check "the same bits" cmp kept/logits.npy given/logits.npy
expect 0 "zeros" "$TLBC" compile "$model" --state "$names" -o zero.so
expect 0 "a step from zeros" "$TLBC" run zero.so --input x="$x" --output-dir zeros
check "which are others" [ "$(cmp -s kept/logits.npy zeros/logits.npy; echo $?)" = 1 ]

expect 1 "no such state" "$TLBC" compile "$model" --state "$names" --first nothing="$state" -o bad.so
contains err "--first nothing: no --state makes a state of this name"
expect 1 "another type" "$TLBC" compile "$model" --state "$names" --first state="$x" -o bad.so
contains err "--first state: the value is"
expect 1 "no file" "$TLBC" compile "$model" --state "$names" --first state -o bad.so
contains err "expected STATE=FILE"
expect 1 "a missing file" "$TLBC" compile "$model" --state "$names" --first state=nosuch.npy -o bad.so
check "nothing is written" [ ! -e bad.so ]
finish
