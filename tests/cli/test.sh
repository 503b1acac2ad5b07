#!/bin/bash
# tlbc test: verdicts, sums, skip lists, and that a wrong result is found.
. "$(dirname "$0")/lib.sh"
folder=$SOURCE/examples/digits
cp -r "$folder" good && cp -r "$folder" wrong && cp -r "$folder" damaged && mkdir empty
cp wrong/test_data_set_0/input_0.pb wrong/test_data_set_0/output_0.pb     # another shape
head -c 100 "$folder/model.onnx" >damaged/model.onnx

expect 0 "passes" "$TLBC" test good
contains out "PASS good/test_data_set_0"
check "sum last" [ "$(tail -n 1 out)" = "1 passed, 0 failed, 0 skipped" ]
expect 0 "evaluator" "$TLBC" test good --evaluator
expect 1 "exact comparison fails" "$TLBC" test good --rtol 0 --atol 0
contains out "elements differ, the first at [0,"
expect 1 "wrong output" "$TLBC" test wrong
contains out "FAIL wrong/test_data_set_0: output 0 'logits': is f32[1,10], expected f32[1,8,8]"
expect 1 "damaged model" "$TLBC" test damaged
expect 1 "folder without model" "$TLBC" test empty
expect 1 "no such folder" "$TLBC" test nosuch
expect 1 "a folder of folders" "$TLBC" test . --jobs 2
check "sum of all" [ "$(tail -n 1 out)" = "1 passed, 2 failed, 0 skipped" ]

printf 'wrong the expected output is of another shape\ndamaged cut off\n' >skip
expect 0 "skip list" "$TLBC" test . --skip-list skip
contains out "SKIP ./wrong: the expected output is of another shape"
check "sum with skips" [ "$(tail -n 1 out)" = "1 passed, 0 failed, 2 skipped" ]
echo 'good was broken once' >>skip
expect 1 "passes, but is on the skip list" "$TLBC" test . --skip-list skip
contains out "FAIL ./good: passes, but is on the skip list"
finish
