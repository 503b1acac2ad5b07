#!/bin/bash
# tlbc compile: all kinds of output, static linking with the generated header, weights beside the model, several CPUs, failures.
. "$(dirname "$0")/lib.sh"

expect 0 "compiles" "$TLBC" compile "$digits" -o m.so --emit=so,obj,header,asm,llvm,loop,graph --name=digits
check "no output on a pipe" [ ! -s err ]
for file in m.so m.o m.h m.s m.ll m.loop m.tl; do check "$file is there" [ -s $file ]; done
check "one exported symbol" [ "$(nm -D --defined-only m.so | awk '{print $3}')" = tlbc_model ]
check "needs only the C library" [ -z "$(objdump -p m.so | awk '/NEEDED/{print $2}' | grep -vE '^lib(c|m)\.so')" ]
expect 0 "graph parses again" "$TLBC" opt m.tl --verify

# One kind: exactly the output's name. Default: the model's name, here.
expect 0 "one kind" "$TLBC" compile "$digits" -o only.txt --emit=loop
check "exactly there" [ -s only.txt ]
expect 0 "default output" "$TLBC" compile "$digits"
check "model.so" [ -s model.so ]

# The name that every model exports.
expect 0 "a model called tlbc" "$TLBC" compile "$digits" -o tlbc.so
expect 0 "runs" "$TLBC" bench tlbc.so --runs 1

# Static linking: the object, the header and the runtime library; two models in one program.
cat >main.c <<'C'
#define TLBC_NO_DLOPEN
#include "m.h"
#include "other.h"
#include <stdio.h>
static int try_model(const tlbc_model *m, float *logits) {
    static const float image[DIGITS_IMAGE_ELEMENTS] = {0};
    tlbc_session *s;
    if (tlbc_session_create(m, NULL, &s)) return 1;
    tlbc_status status = m == &digits_model ? digits_run(s, image, logits) : other_run(s, image, logits);
    tlbc_session_free(s);
    return status != TLBC_OK;
}
int main(void) {
    float a[DIGITS_LOGITS_ELEMENTS], b[OTHER_LOGITS_DIM_1];
    if (try_model(&digits_model, a) || try_model(&other_model, b)) return 1;
    for (int i = 0; i < DIGITS_LOGITS_DIM_1; i++)
        if (a[i] != b[i]) return 2;
    puts("same");
    return 0;
}
C
expect 0 "second model" "$TLBC" compile "$digits" -o other.o --emit=obj,header
if command -v "${CC:-cc}" >/dev/null; then
    expect 0 "static linking" "${CC:-cc}" -std=c99 -Wall -Wextra -Werror -I"$SOURCE/include" main.c m.o other.o "$RUNTIME" -lm -lpthread -o main
    expect 0 "static program runs" ./main
    contains out same
fi
if command -v "${CXX:-c++}" >/dev/null; then
    expect 0 "header in C++" "${CXX:-c++}" -std=c++11 -Wall -Wextra -Werror -I"$SOURCE/include" -fsyntax-only -x c++ m.h
fi

# Weights beside the model.
mkdir side
expect 0 "weights file" "$TLBC" compile "$digits" -o side/m.so --weights=file
check "side/m.weights is there" [ -s side/m.weights ]
check "smaller than with weights" [ "$(stat -c %s side/m.so)" -lt "$(stat -c %s m.so)" ]
cp -r "$SOURCE/examples/digits/test_data_set_0" side/
expect 0 "model finds its weights" "$TLBC" test side/m.so
mv side/m.weights gone
expect 1 "weights missing" "$TLBC" test side/m.so
contains out "cannot create a session"

# Several CPUs in one file; the best that runs here is taken.
mkdir cpus && cp -r "$SOURCE/examples/digits/test_data_set_0" cpus/
expect 0 "several CPUs" "$TLBC" compile "$digits" -o cpus/m.so --cpu=x86-64-v4,x86-64-v3,x86-64-v2
expect 0 "several CPUs run" "$TLBC" test cpus/m.so
expect 0 "inspect" "$TLBC" inspect cpus/m.so
contains out "x86-64-v4,x86-64-v3,x86-64-v2"

# Failures leave nothing behind.
expect 1 "no such model" "$TLBC" compile nosuch.onnx -o x.so
contains err "nosuch.onnx"
head -c 1000 "$digits" >cut.onnx
expect 1 "damaged model" "$TLBC" compile cut.onnx -o x.so
contains err "cut.onnx"
expect 1 "unknown CPU" "$TLBC" compile "$digits" -o x.so --cpu=z80
contains err "z80"
expect 1 "folder missing" "$TLBC" compile "$digits" -o no/such/x.so
expect 1 "bad pass" "$TLBC" compile "$digits" -o x.so --passes=nosuch
expect 1 "bad dim" "$TLBC" compile "$digits" -o x.so --dim batch
check "no file of a failed compilation" [ -z "$(ls | grep '^x\.')" ]

# What a compilation that went well has to say is told once, as what it is.
expect 0 "an input with a default value" "$TLBC" compile "$SOURCE/tests/data/import/good/default_input/model.onnx" -o w.so
check "a warning, no note of one" [ "$(cut -d' ' -f1 err)" = "warning:" ]
contains err "input 'w' has a default value"

# Stopped at any moment: the whole file or none.
for delay in 0.02 0.05 0.1 0.2; do
    timeout -s INT $delay "$TLBC" compile "$digits" -o int.so 2>/dev/null
    check "nothing half done after ${delay}s" [ -z "$(ls | grep '^int\.so.')" ]
    [ ! -e int.so ] || check "whole" "$TLBC" inspect int.so >/dev/null
    rm -f int.so
done
finish
