#!/bin/bash
# tlbc verify: what agrees, and what it says when told to accept no rounding at all.
. "$(dirname "$0")/lib.sh"
loop=$SOURCE/tests/models/tlb_tiny_loop/model.onnx

expect 0 "digits" "$TLBC" verify "$digits" --runs 2
contains out "run 1: output 0 'logits' f32[1,10]"
contains out "0 wrong"
check "nodes were compared" grep -qE '^run 0: [1-9][0-9]+ results of [1-9][0-9]+ nodes: at most [0-9.e+]+ ULP, node ' out

# No bit may differ: sums are taken in another order than the evaluator's, so a product of matrices does.
expect 1 "no rounding accepted" "$TLBC" verify "$digits" --ulp 0 --runs 1
check "names a node, its operator, the element, both values" grep -qE \
    "^run 0: node [0-9]+ '/net/[^']+' \([A-Za-z]*MatMul[A-Za-z]*\), result 0 '[^']+': element \[[0-9,]+\] is -?[0-9.e-]+, expected -?[0-9.e-]+ \([0-9.e+]+ ULP\)" err
check "one node only" [ "$(grep -c '^run 0: node ' err)" = 1 ]
contains err "run 0: output 0 'logits': element [0,"
contains err "the passes change what the graph computes"
check "names a change of a pass" grep -qE "it is change [0-9]+, by pass [a-z_]+" err

expect 0 "wide tolerance" "$TLBC" verify "$digits" --ulp 0 --rtol 1 --atol 1 --runs 1
expect 1 "narrow tolerance" "$TLBC" verify "$digits" --ulp 1 --rtol 1e-9 --atol 0 --runs 1
contains err " ULP)"

expect 0 "a loop, sizes given" "$TLBC" verify "$loop" --dim time=16 --dim batch=2 --threads 2 --runs 1
contains out "run 0: output 0 'logits' f32[2,10]"
check "what each round computes was compared" grep -qE '^run 0: [1-9][0-9]{2} results of [1-9][0-9]{2} nodes' out
expect 1 "a loop in which a bit differs" "$TLBC" verify "$loop" --dim time=16 --ulp 0 --runs 1
expect 1 "a size that the model does not take" "$TLBC" verify "$loop" --runs 1
contains err "dimension 'time' may need another size: --dim time=N"
expect 1 "no such file" "$TLBC" verify nosuch.onnx
expect 2 "bad tolerance" "$TLBC" verify "$digits" --ulp -3
finish
