#!/bin/bash
# Who may include whom: data goes forward only.
#   ir/base <- ir <- frontend, passes, codegen <- cli          runtime: only itself and include/
# runtime/calls/, the operators that are called, is known to the evaluator and to code generation.
# LLVM's headers only in codegen/llvm_*, protobuf-c's only in frontend/. Prints each line that breaks a rule.
set -u
cd "${1:-$(dirname "$0")/..}" || exit 2
status=0

# folder, what its quoted includes may begin with
rule() {
    local folder=$1 allowed=$2 found
    found=$(grep -rnE '^ *# *include *"' --include='*.[ch]' --include='*.def' "$folder" |
        grep -vE "include *\"($allowed)")
    [ -z "$found" ] && return
    printf '%s may include only %s:\n%s\n' "$folder" "$allowed" "$found"
    status=1
}

# pattern of system headers, regular expression of the files that may have them
only() {
    local found
    found=$(grep -rnE "^ *# *include *[<\"]$1" --include='*.[ch]' ir frontend passes codegen runtime cli include |
        grep -vE "^($2)")
    [ -z "$found" ] && return
    printf '<%s...> belongs in %s alone:\n%s\n' "$1" "$2" "$found"
    status=1
}

rule ir/base 'ir/base/'
rule ir 'ir/|runtime/calls/'
rule frontend 'frontend/|ir/|onnx[a-z_]*\.pb-c\.h'
rule passes 'passes/|ir/'
rule codegen 'codegen/|ir/|runtime/calls/|runtime/abi\.h|runtime/cpu\.h|tlbc/runtime\.h'
rule runtime 'runtime/|tlbc/'
rule include 'tlbc/'
rule cli 'cli/|codegen/|passes/|frontend/|ir/|runtime/cpu\.h|tlbc/'
only 'llvm-c/|llvm/' 'codegen/llvm_[a-z_]*\.[ch]'
only 'protobuf-c|[a-z_/]*\.pb-c\.h' 'frontend/'
[ $status = 0 ] && echo "includes follow the rules"
exit $status
