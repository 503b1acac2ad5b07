#!/bin/bash
# Bad input to the program: whatever it is, a message and status 1, no signal, no file; the old output stays.
. "$(dirname "$0")/lib.sh"
bad_models=$SOURCE/tests/data/import/bad

# Every damaged model there is, by every command that reads one (the message itself: tests/unit/import_bad_test.c).
for model in "$bad_models"/*.onnx; do
    name=$(basename "$model" .onnx)
    expect 1 "compile $name" "$TLBC" compile "$model" -o x.so
    check "$name: a message that names the file" grep -q "$name.onnx" err
done
for name in truncated cycle nested_1000 external_parent function_unknown_op; do
    for command in inspect opt verify bench; do
        expect 1 "$command $name" "$TLBC" $command "$bad_models/$name.onnx"
    done
done
check "no file of a failed compilation" [ -z "$(ls | grep '^x\.')" ]

# Cut anywhere, or with bytes changed: refused, or still a model; never the end of the process by a signal.
size=$(stat -c %s "$digits")
survives() { # NAME COMMAND...
    local name=$1 status
    shift
    "$@" >out 2>err
    status=$?
    check "$name: status $status" [ $status -le 1 ]
    [ $status = 0 ] || check "$name: a message" [ -s err ]
}
for part in 1 7 50 400 700 900 990 999; do
    head -c $((size * part / 1000)) "$digits" >cut.onnx
    survives "cut to $part/1000" "$TLBC" inspect cut.onnx
done
for at in 3 40 200 1000 3000 5000; do
    cp "$digits" changed.onnx
    printf '\377\377\377\377\177' | dd of=changed.onnx bs=1 seek=$((size - at)) conv=notrunc status=none
    survives "changed $at bytes before the end" "$TLBC" compile changed.onnx -o changed.so
done

# The old file stays where the new one cannot be written.
mkdir old && echo old >old/m.so
expect 1 "damaged model over an old file" "$TLBC" compile "$bad_models/cycle.onnx" -o old/m.so
check "the old file stays" [ "$(cat old/m.so)" = old ]
mkdir folder.so
expect 1 "the output is a folder" "$TLBC" compile "$digits" -o folder.so
contains err "folder.so"
if [ -e /dev/full ]; then
    for emit in loop so; do
        expect 1 "device that is full, $emit" "$TLBC" compile "$digits" -o /dev/full --emit=$emit
        check "/dev/full is still a device" [ -c /dev/full ]
    done
fi
if [ "$(id -u)" != 0 ]; then
    chmod 555 old
    expect 1 "folder that may not be written" "$TLBC" compile "$digits" -o old/m.so
    check "the old file stays" [ "$(cat old/m.so)" = old ]
    chmod 755 old
fi
(ulimit -f 8; trap '' XFSZ; "$TLBC" compile "$digits" -o old/m.so >out 2>err)
check "file size limit: status 1" [ $? = 1 ]
check "file size limit: the old file stays" [ "$(cat old/m.so)" = old ]
check "file size limit: nothing beside it" [ "$(ls old)" = m.so ]

# Inputs that do not fit the model.
npy() { # DTYPE SHAPE BYTES: a NumPy file of zeros on stdout
    local header="{'descr': '$1', 'fortran_order': False, 'shape': ($2), }"
    printf '\x93NUMPY\x01\x00\x76\x00%-117s\n' "$header"
    head -c "$3" /dev/zero
}
expect 0 "model" "$TLBC" compile "$digits" -o m.so
npy '<f4' '1, 8, 8' 256 >good.npy
npy '<f4' '1, 8, 9' 288 >shape.npy
npy '<f4' '8, 8' 256 >rank.npy
npy '<i8' '1, 8, 8' 512 >type.npy
npy '<f4' '1, 8, 8' 100 >short.npy
expect 0 "inputs that fit" "$TLBC" run m.so --input image=good.npy
for kind in shape rank type; do
    expect 1 "input of wrong $kind" "$TLBC" run m.so --input image=$kind.npy
    contains err "'image'"
done
expect 1 "array that is cut short" "$TLBC" run m.so --input image=short.npy
contains err "short.npy"
expect 1 "unknown input" "$TLBC" run m.so --input picture=good.npy
contains err "picture"
expect 1 "input missing" "$TLBC" run m.so
contains err "image"
survives "the same input twice" "$TLBC" run m.so --input image=good.npy --input image=good.npy

# Libraries that are not models of this version.
echo text >text.so
expect 1 "text instead of a library" "$TLBC" run text.so --random
contains err "text.so"
head -c 5000 m.so >half.so
expect 1 "half a library" "$TLBC" run half.so --random
contains err "'half.so' is cut short"
if command -v "${CC:-cc}" >/dev/null; then
    cat >other.c <<'C'
__attribute__((visibility("default"))) const unsigned tlbc_model[64] = {99, 99};
C
    expect 0 "a library of another version" "${CC:-cc}" -shared -fPIC other.c -o other.so
    for command in "run --random" bench inspect; do
        expect 1 "$command: another version" "$TLBC" $command other.so
        contains err "version"
    done
    echo 'int nothing;' | "${CC:-cc}" -shared -fPIC -x c - -o none.so
    expect 1 "a library without a model" "$TLBC" run none.so --random
    contains err "tlbc_model"
fi

# Libraries that are optional may be missing.
status=0
"$TLBC" compile "$SOURCE/tests/data/image.onnx" -o image.so 2>err || status=$?
check "ImageDecoder is compiled, or refused with a reason" [ $status = 0 -o $status = 1 ]
[ $status = 0 ] || contains err "(ImageDecoder), ImageDecoder: this tlbc was built without lib"
finish
