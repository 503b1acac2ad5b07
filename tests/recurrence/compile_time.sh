#!/bin/bash
# Time to compile the rows of Long Range Arena, all steps written out, from the .onnx file to the .so; and machine code that does not depend
# on the number of steps. Processor time counts, of tlbc and of the linker that it starts, since other programs run on the machine. The limits
# are twice what an optimised build may take by itself: 2 seconds for a row, 10 for the 47,600 nodes of Text and of Retrieval.
. "$(dirname "$0")/../cli/lib.sh"

limit() { # SECONDS: in hundredths; builds that check every pass take longer
    [ "${CHECKED:-0}" = 1 ] && echo $(($1 * 1600)) || echo $(($1 * 200))
}

compile() { # ROW CHUNKS: sets `spent` to hundredths of seconds, `nodes` to the number in the file
    "$LRA_ONNX" "$1" "$2" m.onnx || return
    TIMEFORMAT='%U %S'
    spent=$({ time "$TLBC" compile m.onnx --cpu=x86-64-v3 -o m.so >out.txt 2>&1 || echo 9999; } 2>&1 |
        awk '{ sum += $1 + $2 } END { printf "%d", 100 * sum }')
    nodes=$("$TLBC" inspect --quick m.onnx | awk '$1 == "nodes" { print $2 }')
}

row() { # NAME CHUNKS NODES SECONDS: so many nodes at least, so many seconds at most
    compile "$1" "$2"
    echo "$1: $nodes nodes in $spent hundredths of a second, at most $(limit "$4")"
    check "$1 has nodes" [ "${nodes:-0}" -ge "$3" ]
    check "$1 in time" [ "${spent:-99999}" -le "$(limit "$4")" ]
}

code_of() { # ROW CHUNKS: sets `code`
    compile "$1" "$2"
    code=$("$TLBC" inspect m.so | awk '$1 == "code" { print $2 }')
}

row listops 0 2200 2
row retrieval 0 40000 10
row image 0 2800 2
row pathfinder 0 1900 2
row text 0 45000 10

for name in text image; do
    code_of $name 6
    few=${code:-0}
    code_of $name 48
    echo "$name: $few bytes of code for 6 chunks, ${code:-0} for 48"
    check "$name has code" [ "$few" -gt 10000 ]
    check "$name, 6 chunks and 48" [ "${code:-0}" -le $((few + few / 50)) ]
done
finish
