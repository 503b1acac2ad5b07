#!/bin/bash
# recur_split and recur_peel change no bit: models with loops, compiled with them and without, on the same inputs, with 1 and 3 threads.
. "$(dirname "$0")/lib.sh"

for model in "$SOURCE"/tests/models/*loop*/ "$SOURCE"/tests/models/*scan*/; do
    name=$(basename "$model")
    expect 0 "$name" "$TLBC" compile "$model/model.onnx" -o with.so --explain recur_split
    grep -q "go before the loop" err && split=$((${split:-0} + 1))
    expect 0 "$name without" "$TLBC" compile "$model/model.onnx" -o without.so --skip recur_split,recur_peel
    for set in "$model"test_data_set_*/; do
        inputs=()
        for file in "$set"input_*.pb; do
            number=${file##*input_}
            inputs+=(--input "$("$TLBC" inspect with.so | awk -v n="${number%.pb}" '$1 == "input" && $2 == n {print $3}')=$file")
        done
        for threads in 1 3; do
            for kind in with without; do
                expect 0 "run $name $kind" "$TLBC" run $kind.so "${inputs[@]}" --threads $threads --output-dir $kind
            done
            check "$name, $(basename "$set"): same bits, $threads threads" diff -rq with without
        done
        rm -rf with without
    done
done
check "several of them are split" [ "${split:-0}" -ge 5 ]
finish
