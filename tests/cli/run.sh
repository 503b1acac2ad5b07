#!/bin/bash
# tlbc run, bench, inspect, verify, opt, ops.
. "$(dirname "$0")/lib.sh"
set0=$SOURCE/examples/digits/test_data_set_0

expect 0 "compile" "$TLBC" compile "$digits" -o m.so
expect 0 "run .so" "$TLBC" run m.so --input image="$set0/input_0.pb" --output-dir so
contains out "logits f32[1,10]"
expect 0 "run .onnx" "$TLBC" run "$digits" --input image="$set0/input_0.pb" --output-dir onnx --threads 2
check "same bits from both, and from two threads" cmp -s so/logits.npy onnx/logits.npy
check "an .npy file" [ "$(head -c 6 so/logits.npy | tail -c 5)" = NUMPY ]

expect 1 "input missing" "$TLBC" run m.so
contains err "input 0 'image' f32[1,8,8] is missing"
expect 1 "unknown input" "$TLBC" run m.so --input picture="$set0/input_0.pb"
contains err "the model has no input 'picture'"
expect 1 "wrong shape" "$TLBC" run m.so --input image=so/logits.npy
contains err "input 0 'image': rank is 2, expected 3 (given f32[1,10], expected f32[1,8,8])"
expect 1 "no such file" "$TLBC" run m.so --input image=nosuch.npy
contains err "cannot open 'nosuch.npy'"
expect 1 "unknown kind of file" "$TLBC" run m.so --input image="$digits"
expect 1 "not a model" "$TLBC" run so/logits.npy
expect 0 "random" "$TLBC" run m.so --random

expect 0 "bench" "$TLBC" bench m.so --runs 20 --json
for key in min_us median_us p99_us gflops peak_share rss_bytes; do contains out "\"$key\": "; done
check "one line" [ "$(wc -l <out)" = 1 ]
expect 0 "bench as text" "$TLBC" bench "$digits" --runs 5 --threads 2
contains out "2 threads, 5 runs"

expect 0 "inspect .so" "$TLBC" inspect m.so
contains out "image f32[1,8,8]"
contains out "workspace"
expect 0 "inspect .onnx" "$TLBC" inspect "$digits"
contains out "LayerNormalization"
contains out "parameters"
for word in workspace "without sharing" kernels code "after all passes"; do contains out "$word"; done
expect 0 "inspect .onnx without compiling" "$TLBC" inspect "$digits" --quick
check "no plan" [ "$(grep -c workspace out)" = 0 ]
expect 0 "inspect a model of symbolic sizes" "$TLBC" inspect "$SOURCE/tests/models/tlb_tiny_loop/model.onnx"
check "slots have formulas" grep -qE "^ +slot 0 +[0-9]+\*batch" out
loop="$SOURCE/tests/models/tlb_tiny_loop/model.onnx"
expect 0 "inspect --schedule" "$TLBC" inspect "$loop" --dim batch=1 --dim time=16 --schedule --threads 2 --svg t.svg
for word in "2 threads" "between loops" "rounds, one after the other" "|" "MatMulPacked_" "GFLOP/s"; do contains out "$word"; done
check "a line for each thread" [ "$(grep -cE '^ +[01] \|.{100}\|' out)" = 2 ]
check "a picture" grep -q "</svg>" t.svg
! command -v python3 >/dev/null || check "valid SVG" python3 -c "import xml.dom.minidom; xml.dom.minidom.parse('t.svg')"
expect 0 "a schedule for programs" "$TLBC" inspect "$loop" --dim batch=1 --dim time=16 --schedule --threads 2 --json
check "one line" [ "$(wc -l <out)" = 1 ]
! command -v python3 >/dev/null || check "phases and kernels" python3 -c '
import json
s = json.load(open("out"))
calls = sum(p["calls"] for p in s["phases"])
assert s["threads"] == 2 and not s["cut"] and calls == sum(k["calls"] for k in s["kernels"]) > 0, s
assert any(p.get("loop") == "Recur" and p["rounds"] > 1 for p in s["phases"]), s["phases"]
assert any(k["op"] == "MatMulPacked" and k["flops"] > 0 for k in s["kernels"]), s["kernels"]'
expect 1 "a picture that cannot be written" "$TLBC" inspect "$loop" --dim batch=1 --dim time=16 --svg no/t.svg
expect 2 "the schedule of a library" "$TLBC" inspect m.so --schedule
for file in "$digits" m.so; do
    expect 0 "inspect --json $file" "$TLBC" inspect --json "$file"
    check "one line" [ "$(wc -l <out)" = 1 ]
    contains out '"inputs": [{"name": "image", "type": "f32[1,8,8]"}], "outputs": [{"name": "logits"'
    contains out '"code_bytes": '
    ! command -v python3 >/dev/null || check "valid JSON" python3 -m json.tool out /dev/null
done
expect 0 "verify" "$TLBC" verify "$digits" --runs 2
contains out "0 wrong"

cat >g.tl <<'TL'
tlbc 1
opset "" 24

graph main(f32[4] %x) => (f32[4] y) {
  f32[4] %a = Relu(%x)
  f32[4] %b = Relu(%x)
  return %a
}
TL
expect 0 "opt" "$TLBC" opt g.tl --passes=dce --verify
check "dead node gone" [ "$(grep -c Relu out)" = 1 ]
expect 0 "opt to a file" "$TLBC" opt g.tl -o h.tl
check "same text" cmp -s g.tl h.tl
expect 1 "opt with an unknown pass" "$TLBC" opt g.tl --passes=nosuch
expect 0 "list of passes" "$TLBC" opt --list
contains out dce
expect 0 "ops" "$TLBC" ops
contains out MatMul
expect 0 "missing ops" "$TLBC" ops --missing
expect 0 "ops as Markdown" "$TLBC" ops --md
contains out "| MatMul |"
contains out "| FusedMatMul | com.microsoft | MatMul |"
expect 0 "ops of a model" "$TLBC" ops "$SOURCE/tests/data/random.onnx"
contains out RandomUniform
expect 1 "ops of what is no model" "$TLBC" ops "$SOURCE/README.md"
contains err "not a valid ONNX file"

# Random operators without a seed of their own: the same numbers for the same seed.
random=$SOURCE/tests/data/random.onnx
for seed in 1 1 2; do
    expect 0 "seed $seed" "$TLBC" run "$random" --seed $seed --output-dir r$seed
    [ ! -d first ] && mv r$seed first
done
check "one seed, the same numbers" cmp -s first/uniform.npy r1/uniform.npy
check "another seed, others" [ -n "$(cmp first/uniform.npy r2/uniform.npy)" ]
check "a seed in the model" cmp -s first/fixed.npy r2/fixed.npy
expect 2 "a seed that is no number" "$TLBC" run "$random" --seed tea
finish
