#!/bin/bash
# Many streams in one step, from the command line: --batch-streams, and streams one by one without it.
. "$(dirname "$0")/lib.sh"
model=$SOURCE/tests/models/tlb_test_scan_logits/model.onnx

expect 0 "a step of many streams" "$TLBC" compile "$model" --stream x:1:4 --batch-streams --explain batch_streams -o many.so
contains err "takes a batch of streams; 0 nodes are done stream by stream"
expect 0 "inspect" "$TLBC" inspect many.so
contains out "options     --cpu=native --stream x:1:4 --batch-streams"
contains out "i64[streams,4]"
expect 0 "bench it" "$TLBC" bench many.so --step --streams 5 --runs 20
contains out "input x i64[5,4]"
expect 0 "bench one by one" "$TLBC" bench "$model" --stream x:1:4 --step --streams 5 --runs 20
contains out "input x i64[5,4]"
expect 0 "a batch against one each" "$TLBC" verify "$model" --stream x:1:4 --streams 9 --runs 1
contains out "streams are a batch"
contains out "steps of at most 9 streams, all bits equal"

cat >grows.tl <<'END'
const @zero f32[] {0}
const @1 i64[1] {1}
graph g(f32[1,1,2] %x, state f32[1,past,2] %k = @zero grows past to 6) => (f32[1,2] y, state f32[1,past + 1,2] k) {
  %k1 = Concat<axis=1>(%k, %x)
  %y = ReduceSum<keepdims=0>(%k1, @1)
  return %y, %k1
}
END
expect 0 "streams of different lengths" "$TLBC" verify grows.tl --streams 4 --runs 2
contains out "streams run one by one"
contains out "all bits equal"
expect 0 "why" "$TLBC" opt grows.tl --passes infer_shapes,batch_streams --batch-streams --explain batch_streams
contains err "batch_streams: g is left for one stream: state 'k' is as long as its stream"

expect 1 "no streams" "$TLBC" verify "$model" --stream x:1:4 --streams 70000
contains err "--streams: expected a number from 1 to 65536"
expect 1 "no states" "$TLBC" verify "$model" --streams 3
contains err "has no states"
expect 1 "no step function" "$TLBC" bench "$model" --streams 3
contains err "has no states"
finish
