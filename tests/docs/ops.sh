#!/bin/bash
# docs/OPS.md against the program and the tests: the tables behind its marker line are what `tlbc ops` prints, with the tests in which each
# operator occurs. Every operator must occur in one, and every operator of ONNX's schemas must have a row.
#   tests/docs/ops.sh TLBC            compare; status 1 and the difference where it is out of date
#   tests/docs/ops.sh TLBC --update   write them anew
set -euo pipefail
shopt -s inherit_errexit
export LC_ALL=C
tlbc=$(realpath "${1:?the program}")
cd "$(dirname "$0")/../.."
page=docs/OPS.md
marker='<!-- made by tlbc ops --md and tests/docs/ops.sh -->'

# "OPERATOR DOMAIN TEST" for each operator of the models below a folder.
of_models() { # TEST FOLDER...
    local test=$1
    shift
    find "$@" -mindepth 2 -maxdepth 2 -name model.onnx -print0 | xargs -0 "$tlbc" ops | awk -v test="$test" '{print $1, $2, test}'
}

# Text IR knows only operators that have a row in ir/ops.def, whose names differ: their domain is left open.
of_texts() {
    grep -oE '= [A-Z][A-Za-z0-9]*[<(]' tests/differential/*.tl |
        sed -E 's#^.*/(.*)\.tl:= ([A-Za-z0-9]*).#\2 * differential.\1#'
}

# In the order in which a row lists them. The names of the tests are those of CTest, or the label where there are many.
occurrences() {
    awk '{print $1, $2, "ONNX:" $3}' tests/docs/onnx_cases.txt
    of_texts | sort -u
    of_models conformance.operators tests/data/operators
    of_models conformance.ml tests/data/ml
    of_models conformance.strings tests/data/strings
    of_models conformance.contrib tests/data/import/contrib
    of_models conformance.import tests/data/import/good
    of_models models tests/models examples
    of_models seeds tests/models/seeds
}

# Another cell for each row of the tables; more than four differential tests are their label.
add_tests() { # OCCURRENCES
    awk '
    function tests(op, domain,   text) {
        text = found[op " " domain]
        if (!rewritten) text = text found[op " *"]
        if (gsub(/differential[.]/, "&", text) > 4) { gsub(/ differential[.][a-z0-9_]+/, "", text); text = text " differential" }
        gsub(/ /, ", ", text)
        sub(/ONNX:/, "ONNX ", text)
        return substr(text, 2)
    }
    NR == FNR { if (!seen[$0]++) found[$1 " " $2] = found[$1 " " $2] " " $3; next }
    /^## / { rewritten = 1 }
    /^\| operator / { print $0 " tests |"; next }
    /^\|---/ { print $0 "---|"; next }
    /^\| / { split($0, cell, / ?\| ?/); print $0 tests(cell[2], cell[3]) " |"; next }
    { print }' <(printf '%s\n' "$1") -
}

found=$(occurrences)
tables=$("$tlbc" ops --md | add_tests "$found")
grep -q "^$marker\$" $page || { echo "$page has lost its marker line"; exit 1; }
missing=$("$tlbc" ops --missing)
expected=$(
    sed "\\#^$marker\$#q" $page
    printf '%s\n\n## ONNX operators that are missing\n\n%s\n' "$tables" "${missing:-None.}"
)

status=0
untested=$(grep -E '^\| .*\|  ?\|$' <<<"$tables" | awk '{print $2, $4}' || true)
[ -z "$untested" ] || { printf 'no test has these operators:\n%s\n' "$untested"; status=1; }

# `    {"ai.onnx.ml", "Binarizer", 1, ...` in the table of schemas; the empty domain is ai.onnx.
schemas=$(sed -nE 's/^    \{"([a-z.]*)", "([A-Za-z0-9]+)", [0-9]+, .*/\2 | \1 |/p' ir/onnx_schema.inc | sed 's/|  |/| ai.onnx |/' | sort -u)
[ "$(wc -l <<<"$schemas")" -gt 200 ] || { echo "the table of schemas reads otherwise"; status=1; }
absent=$(while read -r row; do grep -qF "| $row" <<<"$tables" || echo "$row"; done <<<"$schemas")
[ -z "$absent" ] || { printf 'these operators of ONNX have no row:\n%s\n' "$absent"; status=1; }

if [ "${2:-}" = --update ]; then
    printf '%s\n' "$expected" >$page
elif ! printf '%s\n' "$expected" | diff -u $page -; then
    echo "$page is out of date: tests/docs/ops.sh $tlbc --update"
    status=1
else
    echo "$page is current"
fi
exit $status
