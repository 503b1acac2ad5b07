#!/bin/bash
# Installs what building tlbc needs, on Debian 12 and 13 and Ubuntu 24.04. Says what is missing and why before it does anything;
# what is there already is left alone. Uses sudo where it is not run by root.
#   tools/install_deps.sh            install what is missing
#   tools/install_deps.sh --check    only tell; status 1 where something is missing
set -eu

say() { printf '%s\n' "$*"; }
have() { dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'ok installed'; }

packages=() reasons=()
need() { # PACKAGE WHY
    have "$1" && return
    packages+=("$1")
    reasons+=("$1: $2")
}

# The newest LLVM from 22 down to 19 that is installed, else the oldest that apt knows: 19 is what most testing is done with.
llvm_version() {
    local v
    for v in 22 21 20 19; do have "llvm-$v-dev" && echo $v && return; done
    for v in 19 20 21 22; do apt-cache show "llvm-$v-dev" >/dev/null 2>&1 && echo $v && return; done
    return 1
}

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    say "This script knows Debian and Ubuntu. Elsewhere install: a C compiler, CMake 3.25, Ninja, pkg-config,"
    say "LLVM 19 to 22 with its headers and ld.lld, protobuf-c with protoc-c, libzip, zlib."
    exit 1
fi

sudo=
[ "$(id -u)" = 0 ] || sudo=sudo

if ! llvm=$(llvm_version); then
    [ "${1:-}" = --check ] || { say "looking for LLVM: apt-get update"; $sudo apt-get update -qq; }
    if ! llvm=$(llvm_version); then
        say "apt knows no LLVM between 19 and 22. Debian 12: add 'deb http://deb.debian.org/debian bookworm-backports main'"
        say "or apt.llvm.org to its sources, run 'apt-get update', and try again."
        exit 1
    fi
fi

need gcc "C compiler"
need libc6-dev "headers of the C library"
need cmake "build system, 3.25 or newer"
need ninja-build "runs the build"
need pkg-config "finds libraries"
need "llvm-$llvm-dev" "instruction selection and register allocation"
need "lld-$llvm" "ld.lld links compiled models"
need libprotobuf-c-dev "reads ONNX files"
need protobuf-c-compiler "generates the reader from onnx.proto"
need libzip-dev "reads .npz files"
need zlib1g-dev "needed by LLVM's and libzip's libraries"
for p in libjpeg-dev libpng-dev libtiff-dev libwebp-dev libopenjp2-7-dev; do
    need $p "ImageDecoder; without it tlbc is built without that operator"
done

if [ ${#packages[@]} = 0 ]; then
    say "all there (LLVM $llvm)"
    exit 0
fi
say "missing:"
printf '  %s\n' "${reasons[@]}"
[ "${1:-}" = --check ] && exit 1
say "installing with apt-get"
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${packages[@]}" || {
    $sudo apt-get update
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${packages[@]}"
}
