#!/bin/bash
# The examples build with nothing but a C compiler and the headers, and the digits come out as PyTorch has them.
. "$(dirname "$0")/lib.sh"
cc=${CC:-cc}

expect 0 "compile" "$TLBC" compile "$digits" -o digits.so
expect 0 "build run_tlb" $cc -O2 -Wall -Wextra -Werror -I"$SOURCE/include" "$SOURCE/examples/run_tlb.c" -o run_tlb -ldl
expect 0 "run_tlb" ./run_tlb digits.so "$SOURCE/examples/digits/heldout.bin"
contains out "right: 354 of 360"
expect 1 "run_tlb on a bad file" ./run_tlb digits.so digits.so
expect 0 "compile for linking" "$TLBC" compile "$digits" -o digits.o --emit=obj,header
expect 0 "build minimal" $cc -O2 -Wall -Wextra -Werror -std=c99 -I"$SOURCE/include" -I. "$SOURCE/examples/minimal.c" digits.o "$RUNTIME" -lm -lpthread -o minimal
expect 0 "minimal" ./minimal
check "a one is read as a one" [ "$(sort -k2 -g out | tail -n 1 | cut -d: -f1)" = 1 ]
finish
