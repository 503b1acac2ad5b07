#!/bin/bash
# From a fresh checkout to a running model: builds tlbc, compiles the digits model, and runs it from a small C program.
set -eu
cd "$(dirname "$0")/.."
tools/install_deps.sh
if command -v ccache >/dev/null; then export CMAKE_C_COMPILER_LAUNCHER=${CMAKE_C_COMPILER_LAUNCHER-ccache}; fi
cmake --preset release >/dev/null
cmake --build --preset release -j "${JOBS:-$(nproc)}" --target tlbc
out=build/demo
mkdir -p $out
show() { printf '\n$ %s\n' "$*"; "$@"; }
tlbc=build/release/tlbc
show $tlbc inspect examples/digits/model.onnx
show $tlbc compile examples/digits/model.onnx -o $out/digits.so
show cc -O2 -Iinclude examples/run_tlb.c -o $out/run_tlb -ldl
show $out/run_tlb $out/digits.so examples/digits/heldout.bin
show $tlbc bench $out/digits.so
