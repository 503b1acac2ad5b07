#!/bin/bash
# Help and usage errors: every command has --help, wrong usage is status 2 and says so on stderr.
. "$(dirname "$0")/lib.sh"

expect 0 "overview" "$TLBC" --help
commands=$(sed -n 's/^  \([a-z]*\) .*/\1/p' out)
check "eight commands" [ "$(echo "$commands" | wc -l)" = 8 ]
for command in $commands; do
    expect 0 "$command --help" "$TLBC" "$command" --help
    contains out "usage: tlbc $command"
    check "$command: help on stdout alone" [ ! -s err ]
    expect 2 "$command: unknown option" "$TLBC" "$command" x --nonsense
    contains err "unknown option '--nonsense'"
    contains err "see tlbc $command --help"
    expect 0 "help $command" "$TLBC" help "$command"
done
expect 2 "no command" "$TLBC"
expect 2 "unknown command" "$TLBC" nonsense
contains err "unknown command 'nonsense'"
expect 0 "version" "$TLBC" --version
for command in compile run test bench inspect verify opt; do expect 2 "$command without a file" "$TLBC" $command; done
expect 2 "bad number" "$TLBC" bench m.so --threads two
expect 2 "bad emit" "$TLBC" compile m.onnx --emit=exe
expect 2 "bad math" "$TLBC" compile m.onnx --math=wild
if [ -e /dev/full ]; then
    "$TLBC" ops >/dev/full 2>err
    check "full disk is an error" [ $? = 1 ]
fi
finish
