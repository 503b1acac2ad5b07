#!/bin/bash
# Step functions from the command line: made by --stream, run over a whole sequence, inspected; what is wrong is said.
. "$(dirname "$0")/lib.sh"
model=$SOURCE/tests/models/tlb_test_scan_logits/model.onnx
data=$SOURCE/tests/models/tlb_test_scan_logits/test_data_set_0/input_0.pb

expect 0 "a step function" "$TLBC" compile "$model" --stream x:1:4 -o step.so --emit=so,header
contains step.h "static inline tlbc_status step_step("
expect 0 "the whole" "$TLBC" compile "$model" -o whole.so
expect 0 "run in steps" "$TLBC" run step.so --input x="$data" --output-dir step
contains out "5 steps"
expect 0 "run at once" "$TLBC" run whole.so --input x="$data" --output-dir whole
check "same bits" cmp -s step/logits.npy whole/logits.npy
expect 0 "run in memory" "$TLBC" run "$model" --stream x:1:4 --input x="$data" --output-dir memory
check "same bits in memory" cmp -s memory/logits.npy whole/logits.npy

expect 0 "inspect" "$TLBC" inspect step.so
contains out "options     --cpu=native --stream x:1:4"
contains out "states      128 bytes for each stream"
contains out "step        4 positions of the sequence"
contains out "delay       0 positions at most"
expect 0 "inspect as JSON" "$TLBC" inspect step.so --json
contains out '"chunk": 4'

expect 0 "verify" "$TLBC" verify "$model" --stream x:1:4 --runs 2
contains out "run 1: 5 steps, all bits equal"

expect 1 "a chunk that does not divide" "$TLBC" compile "$model" --stream x:1:3 -o no.so
contains err "the model takes 20 positions, which are no multiple of 3"
expect 1 "less than the model's chunk" "$TLBC" compile "$model" --stream x:1:2 -o no.so
contains err "it takes positions in groups, which a step of 2 does not fill"
expect 1 "no such axis" "$TLBC" compile "$model" --stream x:2:4 -o no.so
contains err "--stream x: it has no axis 2"
expect 1 "no such input" "$TLBC" compile "$model" --stream tokens:1:4 -o no.so
contains err "the model has no input 'tokens'"
expect 1 "no such pair" "$TLBC" compile "$model" --state x=y -o no.so
contains err "--state x=y: the model has no output 'y'; its outputs: logits"
expect 1 "a pair of two types" "$TLBC" compile "$model" --state x=logits -o no.so
contains err "--state x=logits: the input is i64[1,20], the output f32[1,3]"

# A table of 16 positions: verify leaves out longer sequences, a step behind its end fails.
tiny=$SOURCE/tests/models/tlb_tiny_loop/model.onnx
expect 0 "verify within the table" "$TLBC" verify "$tiny" --stream x:1:4 --runs 2
contains out "the whole model does not take 20 positions: node '/embedding/Add' (Add), dimension 'min(time, 16)' is neither 1 nor equal to 'time'"
contains out "all bits equal"
positions() { # how many
    printf "\\x93NUMPY\\x01\\x00\\x76\\x00%-117s\\n" "{'descr': '<f4', 'fortran_order': False, 'shape': (1, $1, 48), }"
    head -c $(($1 * 48 * 4)) /dev/zero
}
tokens() { # how many
    printf "\\x93NUMPY\\x01\\x00\\x76\\x00%-117s\\n" "{'descr': '<i8', 'fortran_order': False, 'shape': (1, $1), }"
    for ((i = 0; i < $1; i++)); do printf "\\x0$((i * 7 % 3))\\0\\0\\0\\0\\0\\0\\0"; done
}
tokens 15 >tokens15.npy
positions 20 >long.npy
positions 14 >ragged.npy
expect 1 "a step behind the table" "$TLBC" run "$tiny" --stream x:1:4 --input x=long.npy
contains err "step 4: node '/embedding/Slice' (Slice), the stream is too long: position 16 is outside the axis of 16"
expect 0 "bench begins anew behind the table" "$TLBC" bench "$tiny" --stream x:1:4 --step --dim batch=1 --runs 20
expect 1 "a length that the whole model does not take either" "$TLBC" run "$tiny" --stream x:1:4 --input x=ragged.npy
contains err "node '/Reshape_1' (Reshape), dimension '64*batch*time' is not equal to '256*batch*(time/4)'"
expect 1 "a chunk of the wrong size" "$TLBC" run step.so --input x=tokens15.npy
contains err "input 'x' has 15 positions along axis 1, which are no multiple of the 4 of a step"

# A sequence that is no whole number of steps: as the whole model has it.
loop=$SOURCE/tests/models/tlb_test_loop/model.onnx
expect 0 "a step function of any length" "$TLBC" compile "$loop" --stream x:1:4 -o loop.so --emit=so,header
expect 0 "compiles as C" "${CC:-cc}" -std=c99 -Wall -Werror -fsyntax-only -I"$SOURCE/include" -x c loop.h
expect 0 "the whole" "$TLBC" compile "$loop" -o loop_whole.so
expect 0 "inspect" "$TLBC" inspect loop.so
contains out "last step   may have fewer positions"
expect 0 "run in steps" "$TLBC" run loop.so --input x=tokens15.npy --output-dir loop --save-state end.state
contains out "4 steps"
expect 0 "run at once" "$TLBC" run loop_whole.so --input x=tokens15.npy --output-dir loop_whole
for output in loop_whole/*.npy; do check "same bits behind a shorter step" cmp -s "$output" "loop/$(basename "$output")"; done
expect 1 "nothing follows the last step" "$TLBC" run loop.so --input x=tokens15.npy --load-state end.state
contains err "step 0: stream 0 has ended with a step of fewer positions: tlbc_reset begins anew"
expect 0 "verify with shorter last steps" "$TLBC" verify "$loop" --stream x:1:4 --runs 3
contains out "3 positions in the last, all bits equal"

# Attention to all earlier positions: refused with advice, which helps.
causal=$SOURCE/tests/data/stream_causal.onnx
expect 1 "any number of positions" "$TLBC" compile "$causal" --stream x:1:4 -o no.so
contains err "node 'attention/scores' (Attention)"
contains err "fix the length of the axis (--dim), which is then the longest stream"
expect 0 "as it is advised" "$TLBC" verify "$causal" --stream x:1:4 --dim time=24 --runs 2
contains out "6 steps, all bits equal"

# A convolution that Winograd's algorithm would make of a whole sequence, whose tiles a step has elsewhere.
conv=$SOURCE/tests/data/stream_conv.onnx
expect 0 "a convolution over time" "$TLBC" verify "$conv" --stream x:2:4 --dim time=64 --runs 1
contains out "16 steps, all bits equal"
expect 0 "of any length" "$TLBC" verify "$conv" --stream x:2:4 --runs 2
contains out ", all bits equal"

# States from one run to the next: 16 positions at once, and 8 and 8.
numbers() { # as many floats, the same ones each time
    RANDOM=$1
    for ((i = 0; i < $1; i++)); do printf "\\x00\\x00\\x$(printf %02x $((RANDOM % 256)))\\x$(printf %02x $((RANDOM % 2 * 128 + 63)))"; done
}
shape() { printf "\\x93NUMPY\\x01\\x00\\x76\\x00%-117s\\n" "{'descr': '<f4', 'fortran_order': False, 'shape': (1, $1, 48), }"; }
numbers 768 >values
{ shape 16; cat values; } >all.npy
{ shape 8; head -c 1536 values; } >first.npy
{ shape 8; tail -c 1536 values; } >second.npy
expect 0 "a step function of any length" "$TLBC" compile "$tiny" --stream x:1:4 -o tiny.so
expect 0 "all of it" "$TLBC" run tiny.so --input x=all.npy --output-dir all --save-state all.state
expect 0 "the first half" "$TLBC" run tiny.so --input x=first.npy --save-state half.state
expect 0 "the second half" "$TLBC" run tiny.so --input x=second.npy --output-dir second --load-state half.state --save-state second.state
check "equal states" cmp -s all.state second.state
check "equal results behind the last step" cmp -s all/logits.npy second/logits.npy
check "equal results of each position" cmp -s <(tail -c 2048 all/tokens.npy) <(tail -c 2048 second/tokens.npy)
expect 0 "the second half alone" "$TLBC" run tiny.so --input x=second.npy --save-state alone.state
check "other states" [ "$(cmp -s all.state alone.state; echo $?)" = 1 ]
head -c 100 half.state >cut.state
expect 1 "a file of states that is cut" "$TLBC" run tiny.so --input x=second.npy --load-state cut.state
contains err "cut.state: the saved state has 100 bytes, expected"
expect 1 "states of another model" "$TLBC" run step.so --input x="$data" --load-state half.state
contains err "half.state: the saved state is another model's"
expect 1 "no file of states" "$TLBC" run tiny.so --input x=second.npy --load-state none.state
contains err "none.state"
expect 1 "no states" "$TLBC" run whole.so --input x="$data" --save-state none.state
contains err "none.state: whole is no step function: it has no states"
check "no file of a failure" [ ! -e no.so ] && [ ! -e none.state ]
finish
