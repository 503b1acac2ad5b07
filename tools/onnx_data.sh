#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Puts ONNX's backend test data (node, simple, pytorch-*: model.onnx and .pb files) into a folder.
#
#   tools/onnx_data.sh DIR              from what is here, in this order:
#     $TLBC_ONNX_DATA                   a folder that holds node/, simple/, ...: linked
#     $TLBC_ONNX_TARBALL, or ../shared/onnx-*-backend-test-data.tar.xz beside the repository: unpacked
#     the onnx Python package           of .venv, $PYTHON or python3, where it still has the data (1.22.0 is the last)
#   tools/onnx_data.sh --download DIR   or else with pip: the wheel of onnx 1.22.0
#
# Exit status: 0 there, 77 found nowhere (CTest: skipped), 1 failed.
set -u
download=no
if [ "${1:-}" = --download ]; then download=yes; shift; fi
[ $# -eq 1 ] || { echo "usage: $0 [--download] DIR" >&2; exit 2; }
dir=$1
root=$(cd "$(dirname "$0")/.." && pwd)

ready() { ls "$dir"/node/*/model.onnx >/dev/null 2>&1; }
link() { rm -rf "$dir" && mkdir -p "$(dirname "$dir")" && ln -s "$1" "$dir"; }

ready && { echo "onnx test data is in $dir"; exit 0; }

if [ -n "${TLBC_ONNX_DATA:-}" ]; then
    link "$(cd "$TLBC_ONNX_DATA" && pwd)" && ready && exit 0
    echo "TLBC_ONNX_DATA=$TLBC_ONNX_DATA holds no node/*/model.onnx" >&2
    exit 1
fi

for tarball in "${TLBC_ONNX_TARBALL:-}" "$root"/../shared/onnx-*-backend-test-data.tar.xz; do
    [ -f "$tarball" ] || continue
    rm -rf "$dir" "$dir.part" && mkdir -p "$dir.part" || exit 1
    tar -xJf "$tarball" -C "$dir.part" || exit 1
    inner=$(dirname "$(find "$dir.part" -maxdepth 3 -type d -name node | head -n 1)")
    mv "$inner" "$dir" && rm -rf "$dir.part"
    ready && { echo "unpacked $tarball"; exit 0; }
done

for python in "$root/.venv/bin/python" "${PYTHON:-}" python3; do
    command -v "$python" >/dev/null 2>&1 || continue
    found=$("$python" -c 'import onnx, os; print(os.path.join(os.path.dirname(onnx.__file__), "backend", "test", "data"))' 2>/dev/null) || continue
    [ -d "$found/node" ] || continue
    link "$found" && ready && { echo "linked $found"; exit 0; }
done

if [ $download = yes ]; then
    part=$dir.part
    rm -rf "$part" && mkdir -p "$part" || exit 1
    python3 -m pip download --no-deps --only-binary :all: -d "$part" onnx==1.22.0 || exit 1
    python3 -m zipfile -e "$part"/onnx-*.whl "$part/wheel" || exit 1
    rm -rf "$dir" && mv "$part/wheel/onnx/backend/test/data" "$dir" && rm -rf "$part"
    ready && exit 0
fi
echo "LEFT OUT: no ONNX test data here; tools/onnx_data.sh --download $dir fetches it" >&2
exit 77
