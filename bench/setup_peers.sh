#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes .venv-peers/NAME for each peer of bench/peers.py, an environment of its own, as their needs clash. ONNX Runtime and PyTorch are
# in .venv, which models/setup_venv.sh makes where it is missing. A peer that cannot be installed is told and left out.
# usage: bench/setup_peers.sh [-d DIR] [NAME...]      default: .venv-peers, all and .venv
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
dir=$root/.venv-peers
[ "${1:-}" != -d ] || { dir=$2; shift 2; }
[ $# -gt 0 ] || [ -x "$root/.venv/bin/python" ] || "$root/models/setup_venv.sh"
[ $# -gt 0 ] || set -- openvino iree tvm tract emx picture
onnx="numpy==2.4.6 onnx==1.22.0"
for name; do
    case $name in
    openvino) needs="openvino==2026.4.1 $onnx" ;;
    iree) needs="iree-base-compiler==3.13.0 iree-base-runtime==3.13.0 $onnx" ;;
    tvm) needs="apache-tvm==0.27.0.post1 $onnx" ;;
    tract) needs="tract==0.23.9 $onnx" ;;
    emx) needs="emx-onnx-cgen==1.4.0 $onnx" ;;
    picture) needs="cairosvg==2.9.1" ;;
    *) echo "$0: no peer '$name'" >&2; exit 2 ;;
    esac
    [ -x "$dir/$name/bin/python" ] || python3 -m venv "$dir/$name"
    if "$dir/$name/bin/pip" install --disable-pip-version-check --quiet $needs; then
        echo "ready: $name"
    else
        echo "$name cannot be installed: its rows will say so" >&2
    fi
done
