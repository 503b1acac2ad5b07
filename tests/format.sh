#!/bin/bash
# All C files are as .clang-format wants them. Skipped (77) without clang-format 19, whose taste other versions do not share.
cd "$(dirname "$0")/.." || exit 1
format=$(command -v clang-format-19 || command -v clang-format)
if [ -z "$format" ] || ! "$format" --version | grep -q 'version 19\.' || ! git rev-parse 2>/dev/null; then
    echo "clang-format 19 or git is missing"
    exit 77
fi
git ls-files -z '*.c' '*.h' | xargs -0 "$format" --dry-run -Werror
