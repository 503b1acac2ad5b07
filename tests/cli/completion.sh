#!/bin/bash
# Completion in bash: the options come from --help, values from where they are known.
. "$(dirname "$0")/lib.sh"
. "$SOURCE/tools/completion/tlbc.bash"
complete_words() { # the last word is completed
    COMP_WORDS=("$TLBC" "$@")
    COMP_CWORD=$#
    _tlbc
    printf '%s\n' "${COMPREPLY[@]}" >reply
}
offers() { check "'$1' offers $2" grep -qx -e "$2" reply; }

complete_words be
offers be bench
for option in --state --stream --explain --batch-streams; do
    complete_words compile "${option:0:5}"
    offers "compile ${option:0:5}" "$option"
done
complete_words run --st
offers "run --st" --state
offers "run --st" --stream
complete_words run --load
offers "run --load" --load-state
complete_words bench --st
for option in --state --step --stream --streams; do offers "bench --st" "$option"; done
complete_words verify --str
offers "verify --str" --stream
complete_words compile m.onnx --explain re
offers "--explain re" reroll
touch x.npy
complete_words compile m.onnx --stream x
check "no files behind --stream" [ "${#COMPREPLY[@]}" = 0 ]
finish
