#!/bin/bash
# Every path that README.md and docs/ mention is there: `folder/file` in backticks (also globs), and the targets of links.
#   tests/docs/paths.sh
# A word in backticks counts as a path when it begins with a folder of the repository and a slash. Left alone: what holds spaces, <name>, or
# three dots, files that are made (build/, out/, .venv/), and the pass that ADD_A_PASS.md invents (merge_slices).
set -u
cd "$(dirname "$0")/../.." || exit 2
folders=$(find . -maxdepth 1 -type d ! -name '.' ! -name '.git' ! -name 'build*' ! -name out ! -name .venv -printf '%f|')
status=0 count=0

there() { # a file, a folder, or a glob that fits something
    compgen -G "$1" >/dev/null
}

check() { # PAGE PATH AS_WRITTEN
    count=$((count + 1))
    there "$2" && return
    echo "$1: there is no '$3'"
    status=1
}

for page in README.md docs/*.md docs/decisions/*.md; do
    words=$(grep -v '^```' "$page" | grep -oE '`[^` ]+`' | tr -d '`' | sort -u)
    for word in $(set -f; echo $words); do
        case $word in *'<'* | *...* | *merge_slices*) continue ;; esac
        [[ $word =~ ^\./?(${folders%|})/ || $word =~ ^(${folders%|})/ ]] && check "$page" "$word" "$word"
    done
    links=$(grep -oE '\]\([^)# ]+' "$page" | cut -c3- | grep -v '^https\?:' | sort -u)
    for link in $links; do check "$page" "$(dirname "$page")/$link" "$link"; done
done
[ "$count" -gt 50 ] || { echo "only $count paths found: this test looks wrongly"; status=1; }
[ $status = 0 ] && echo "$count paths are there"
exit $status
