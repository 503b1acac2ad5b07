#!/bin/bash
# Several entry points in one library: weights and kernels once, states in common, a header for all; and what is wrong is said.
. "$(dirname "$0")/lib.sh"
model=$SOURCE/tests/models/rnn_lstm_states_ts/model.onnx

expect 0 "one entry point" "$TLBC" compile "$model" --state h0=h,c0=c -o one.so
expect 0 "two" "$TLBC" compile "$model" --entry again="$model" --state h0=h,c0=c -o two.so --emit=so,header
expect 0 "inspect" "$TLBC" inspect two.so
contains out "entry  0    main"
contains out "entry  1    again"
size() { "$TLBC" inspect "$1" | awk -v key="$2" '$1 == key {print $2}'; }
check "weights once" [ "$(size one.so weights)" = "$(size two.so weights)" ]
check "kernels once" [ "$(size two.so code)" -lt $(($(size one.so code) * 3 / 2)) ]
for word in "extern const tlbc_model two_model;" "extern const tlbc_model two_again_model;" two_again_step; do contains two.h "$word"; done
printf '#include "two.h"\nint main(void) { return TWO_N_INPUTS - TWO_AGAIN_N_INPUTS; }\n' >two.c
check "the header compiles" cc -std=c99 -Wall -Wextra -Werror -I"$SOURCE/include" -DTLBC_NO_DLOPEN two.c -o two
check "and is right" ./two
for entry in main again; do expect 0 "run $entry" "$TLBC" run two.so --entry $entry --random --dim time=2 --dim batch=1; done

expect 1 "an entry that is not there" "$TLBC" run two.so --entry third --random
contains err "no entry point 'third'"
contains err "it has 'again'"
expect 1 "a name twice" "$TLBC" compile "$model" --entry main="$model" -o bad.so
contains err "there is an entry of this name already"
expect 1 "a name that is none" "$TLBC" compile "$model" --entry 2nd="$model" -o bad.so
expect 1 "no file" "$TLBC" compile "$model" --entry second -o bad.so
contains err "expected NAME=FILE.onnx"
expect 1 "a missing file" "$TLBC" compile "$model" --entry second=nosuch.onnx -o bad.so
check "nothing is written" [ ! -e bad.so ]
finish
