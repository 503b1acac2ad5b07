#!/bin/bash
# Everything from a fresh checkout to the last test: dependencies, build (preset ci: optimised, warnings are errors), CTest. The last
# lines are CTest's own. Without arguments all tests but those labelled slow run; arguments go to CTest instead:
#   tools/test.sh
#   tools/test.sh -L quick
#   tools/test.sh -L slow         minutes each: mathematics over every float, static analysis
set -eu
cd "$(dirname "$0")/.."
tools/install_deps.sh
if command -v ccache >/dev/null; then export CMAKE_C_COMPILER_LAUNCHER=${CMAKE_C_COMPILER_LAUNCHER-ccache}; fi
jobs=${JOBS:-$(nproc)}
cmake --preset ci
cmake --build --preset ci -j "$jobs"
[ $# -gt 0 ] || set -- -LE slow
exec ctest --test-dir build/ci -j "$jobs" --output-on-failure "$@"
