#!/bin/bash
# An installed tlbc: pkg-config and CMake find it, a model builds into a program with either, the manual page is well-formed.
. "$(dirname "$0")/lib.sh"
prefix=$scratch/usr

expect 0 "install" cmake --install "$BUILD" --prefix "$prefix"
tlbc=$prefix/bin/tlbc
expect 0 "installed program" "$tlbc" --version
pc=$(dirname "$(find "$prefix" -name tlbc.pc)")
check "header of runtime.h" [ -s "$prefix/include/tlbc/runtime.h" ]
expect 0 "compile" "$tlbc" compile "$digits" -o digits.o --emit=obj,header
if command -v pkg-config >/dev/null; then
    flags=$(PKG_CONFIG_PATH=$pc pkg-config --define-variable=prefix="$prefix" --cflags --libs tlbc)
    # shellcheck disable=SC2086
    expect 0 "pkg-config" "${CC:-cc}" -I. "$SOURCE/examples/minimal.c" digits.o $flags -o minimal
    expect 0 "program by pkg-config" ./minimal
fi

mkdir project
cp "$SOURCE/examples/minimal.c" project/
cat >project/CMakeLists.txt <<'CMAKE'
cmake_minimum_required(VERSION 3.25)
project(example C)
find_package(tlbc REQUIRED)
tlbc_add_model(digits ${MODEL})
add_executable(minimal minimal.c)
target_link_libraries(minimal PRIVATE digits)
CMAKE
expect 0 "configure a project" cmake -G Ninja -S project -B project/build -DCMAKE_PREFIX_PATH="$prefix" -DMODEL="$digits"
expect 0 "build a project" cmake --build project/build
expect 0 "program by CMake" project/build/minimal
if command -v man >/dev/null; then
    check "manual page" [ -z "$(man --warnings -E UTF-8 -l "$prefix/share/man/man1/tlbc.1" 2>&1 >/dev/null)" ]
fi
for command in $("$tlbc" --help | sed -n 's/^  \([a-z]*\) .*/\1/p'); do
    check "manual tells of $command" grep -q "^\.B $command" "$prefix/share/man/man1/tlbc.1"
done
finish
