#!/bin/bash
# Machine code of exported models with loops: a length and eight times that length give the same amount, but for numbers that take a byte
# more. tests/unit/reroll_test.c checks the same of steps that are written out.
. "$(dirname "$0")/../cli/lib.sh"

code_of() { # MODEL TIME: sets `code` to the bytes of machine code
    expect 0 "compile $1, $2 positions" "$TLBC" compile "$SOURCE/tests/models/$1/model.onnx" \
        --dim batch=1 --dim time="$2" --cpu=x86-64-v3 -o m.so
    code=$("$TLBC" inspect m.so | awk '$1 == "code" {print $2}')
}

same() { # within a fiftieth
    [ "$1" -le $(($2 + $2 / 50)) ] && [ "$2" -le $(($1 + $1 / 50)) ]
}

for model in tlb_test_loop tlb_test_loop_while tlb_test_loop_stack tlb_test_loop_mask tlb_test_loop_both13; do
    code_of $model 40
    few=${code:-0}
    code_of $model 320
    echo "$model: $few bytes for 10 chunks, ${code:-0} for 80"
    check "$model has code" [ "$few" -gt 10000 ]
    check "$model, 10 chunks and 80" same "$few" "${code:-0}"
done
finish
