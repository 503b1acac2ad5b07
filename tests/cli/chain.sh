# chain N >model.onnx: Softmax of Softmax of ... of four numbers, N of them, from v000000 on. Written byte by byte: names of seven
# letters make all nodes equally long.
varint() {
    local v=$1
    while [ "$v" -gt 127 ]; do printf "\\x$(printf %02x $((v & 127 | 128)))"; v=$((v >> 7)); done
    printf "\\x$(printf %02x "$v")"
}
# name of a value of f32[4]
value() { printf '\012\007%s\022\012\012\010\010\001\022\004\012\002\010\004' "$1"; }

chain() {
    local nodes=$1
    printf '\010\010\102\002\020\015\072' # ir_version 8, opset 13, graph
    varint $((nodes * 29 + 3 + 2 * 23))
    LC_ALL=C awk -v n=$nodes 'BEGIN {
        for (i = 0; i < n; i++) printf "\012\033\012\007v%06d\022\007v%06d\042\007Softmax", i, i + 1
    }'
    printf '\022\001g\132\025'
    value v000000
    printf '\142\025'
    value "$(printf v%06d "$nodes")"
}
