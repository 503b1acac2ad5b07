#!/bin/bash
# --simplify: what the e-graph says it did on models of several kinds, that it saturates and makes them cheaper by its cost model; that
# compiled models say how they were made; what is refused. The e-graph is the default.
. "$(dirname "$0")/lib.sh"

is_cheaper() { # the sum over the regions in err: "... saturated after 7 iterations, ...; 1226106 cycles, were 1627043"
    awk '/ cycles, were /{for (i = 1; i <= NF; i++) if ($i == "cycles,") {after += $(i-1); before += $(i+2)}}
         END {exit !(after < before)}' err
}

for model in tlb_tiny tlb_odd_loop seeds/crate_whole_ts seeds/crate_mae_whole_dynamo seeds/einconv_kfac_reduce_whole_ts \
    seeds/funnel_whole_ts seeds/prformer_whole_ts; do
    expect 0 "$model" "$TLBC" opt "$SOURCE/tests/models/$model/model.onnx" --passes=default --explain=egraph
    check "$model is cheaper" is_cheaper
    check "$model: no limit of time or nodes" [ "$(grep -c 'time limit\|node limit' err)" = 0 ]
done

# The three products of CRATE's step become one, and the trace names the rules.
model=$SOURCE/tests/models/seeds/crate_whole_ts/model.onnx
expect 0 "trace" "$TLBC" opt "$model" --passes=default --simplify=egraph --explain=egraph --stats
contains err "matmul_right, matmul_difference, matmul_scaled, matmul_plus_self"
check "statistics count rules" grep -q '[0-9]  egraph.matmul_plus_self$' err
products() { grep -c 'MatMulPacked<' out; }
with=$(products)
expect 0 "classic" "$TLBC" opt "$model" --passes=default --simplify=classic
check "fewer products" [ "$with" -lt "$(products)" ]
expect 0 "without a rule" "$TLBC" opt "$model" --passes=default --simplify=egraph --skip=egraph.matmul_right
check "the rule is not applied" [ "$with" -lt "$(products)" ]
expect 0 "none" "$TLBC" opt "$model" --passes=default --simplify=none --stats
check "no rule is applied" [ "$(grep -c ' simplify\.' err)" = 0 ]

expect 0 "compiled" "$TLBC" compile "$digits" -o m.so --simplify=classic
expect 0 "inspected" "$TLBC" inspect m.so
contains out "--simplify=classic"
expect 0 "inspected from ONNX" "$TLBC" inspect "$digits" --simplify=none
expect 2 "another engine" "$TLBC" run "$digits" --simplify=magic
contains err "--simplify: expected egraph|none|classic, found 'magic'"
finish
