# Shared by the scripts of this folder: $TLBC (the program), $SOURCE (the repository), a scratch folder, checks that count.
#   . "$(dirname "$0")/lib.sh"
#   expect 0 "compiles" "$TLBC" compile model.onnx -o m.so
#   contains out "text"          of the last command's output (out or err)
#   finish
set -u
: "${TLBC:?path of the program}" "${SOURCE:?path of the repository}"
digits=$SOURCE/examples/digits/model.onnx
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 1
passed=0 failed=0

ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "FAIL: $*"; }

# expect STATUS NAME COMMAND...: runs it; stdout and stderr land in the files out and err
expect() {
    local want=$1 name=$2 status
    shift 2
    "$@" >out 2>err
    status=$?
    if [ "$status" = "$want" ]; then ok; return 0; fi
    bad "$name: status $status, expected $want"
    head -n 5 err
    return 1
}

contains() { # FILE TEXT
    if grep -qF -- "$2" "$1"; then ok; else bad "$1 lacks '$2':"; head -n 5 "$1"; fi
}

check() { # NAME COMMAND...: true?
    local name=$1
    shift
    if "$@"; then ok; else bad "$name"; fi
}

finish() {
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ] && [ "$passed" -gt 0 ]
    exit
}
