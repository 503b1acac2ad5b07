#!/bin/bash
# Compiled code for processors that this machine is not: everything is compiled here, then run in Bochs, an emulator of whole PCs that
# knows AVX-512, VNNI and BF16. A Linux kernel boots in it with the programs, the libraries and the cases in its initial memory disk,
# and says over the serial port what came out.
#
#   tests/wide/wide.sh BUILD [PROCESSOR[:JOB,JOB...]]...     BUILD: a folder with tlbc and tests/differential, as build/release
#   tests/wide/wide.sh build/release icelake-server:chosen,differential
#   TLBC_WIDE_REUSE=1 ...                                    with what an earlier call has compiled
#
# Jobs (guest.sh): chosen, differential, models, vmath, or one case as cases/conv, one model as models/tlb_tiny. Without processors: those of `default`. Needs (else exit status 77: skipped):
#   bochs 3 or newer      $BOCHS; Debian 13 has it; see docs/TESTING.md for older ones
#   a kernel              $TLBC_WIDE_KERNEL, or the newest /boot/vmlinuz-* that can be read; with a serial console, as distributions' have
#   apt-get install bochsbios vgabios busybox-static cpio isolinux syslinux-common xorriso zstd
set -u
cd "$(dirname "$0")/../.." || exit 1
[ $# -ge 1 ] || { sed -n '2,13s/^# \{0,1\}//p' "$0" >&2; exit 2; }
build=$(cd "$1" && pwd) || exit 1
shift
default=(icelake-server skylake-avx512:chosen,differential,models x86-64-v3:chosen x86-64-v2:chosen older:chosen)
[ $# -gt 0 ] || set -- "${default[@]}"
cpus=icelake-server,skylake-avx512,x86-64-v3,x86-64-v2
work=$build/wide
root=$work/root
failed=0

# ---- what is needed ----------------------------------------------------------------------------------------------------

missing=
need() { [ -r "$2" ] || missing="$missing $1"; }
bochs=${BOCHS:-$(command -v bochs)}
kernel=${TLBC_WIDE_KERNEL:-$(ls -v /boot/vmlinuz-* 2>/dev/null | tail -n 1)}
need "bochs" "$bochs"
need "kernel" "$kernel"
need "bochsbios" /usr/share/bochs/BIOS-bochs-latest
need "vgabios" /usr/share/vgabios/vgabios.bin
need "isolinux" /usr/lib/ISOLINUX/isolinux.bin
need "syslinux-common" /usr/lib/syslinux/modules/bios/ldlinux.c32
for tool in busybox cpio xorriso zstd; do need $tool "$(command -v $tool)"; done
if [ -n "$missing" ]; then
    echo "LEFT OUT: code for AVX-512 is not run; missing:$missing (see the head of $0)"
    exit 77
fi

# ---- what is run -------------------------------------------------------------------------------------------------------

# Every case of tests/differential as libraries, which this machine runs first.
compile_cases() {
    local source folder
    for source in tests/differential/*.tl; do
        folder=$root/cases/$(basename "$source" .tl)
        mkdir -p "$folder"
        cp "$source" "$folder/cases.tl"
        TLBC_TEST_CPU=$cpus TLBC_TEST_LIBRARIES=$folder "$build/tests/differential" "$source" >"$folder/log" ||
            { cat "$folder/log"; echo "FAIL $source on this machine"; failed=1; }
        rm "$folder/log"
    done
}

# Models with their data, without their .onnx.
compile_models() {
    local model folder
    for model in tests/models/*/model.onnx tests/models/seeds/*/model.onnx; do
        folder=$root/models/$(basename "$(dirname "$model")")
        mkdir -p "$folder"
        cp -r "$(dirname "$model")"/test_data_set_* "$folder"
        [ -e "$folder/model.so" ] || "$build/tlbc" compile "$model" --cpu=icelake-server,skylake-avx512 -o "$folder/model.so" >"$work/log" 2>&1 ||
            { cat "$work/log"; echo "FAIL $model"; failed=1; }
    done
}

# One library for each processor alone, and one for all of them.
compile_chosen() {
    local cpu model=tests/models/rnn_gru_ts/model.onnx
    rm -rf "$root/chosen"
    mkdir "$root/chosen"
    for cpu in ${cpus//,/ }; do
        "$build/tlbc" compile $model --cpu="$cpu" -o "$root/chosen/$cpu.so" || failed=1
    done
    "$build/tlbc" compile $model --cpu=$cpus -o "$root/chosen/all.so" || failed=1
}

# ---- the disk it boots from ----------------------------------------------------------------------------------------------

copy_program() {
    cp "$1" "$root/bin/"
    ldd "$1" | grep -o '/[^ ]*' | while read -r library; do
        [ -e "$root/$library" ] || cp -L --parents "$library" "$root"
    done
}

make_root() {
    [ -n "${TLBC_WIDE_REUSE:-}" ] || rm -rf "$work"
    rm -rf "$work/iso"
    mkdir -p "$root"/{bin,proc,dev,sys,tmp}
    cp tests/wide/guest.sh "$root/init"
    cp "$(command -v busybox)" "$root/bin/busybox"
    for program in "$build/tlbc" "$build"/tests/{differential,vmath_test,chosen}; do copy_program "$program"; done
    compile_chosen
    compile_cases
    compile_models
    mkdir -p "$work/iso"
    (cd "$root" && find . | cpio -o -H newc --quiet | zstd -q -T0 -10 -o "$work/iso/initrd") || exit 1
    cp "$kernel" "$work/iso/vmlinuz"
    cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$work/iso"
}

# Names without a dot that the kernel does not know are variables for the first process: jobs=...
make_disk() { # FILE JOBS
    cat >"$work/iso/isolinux.cfg" <<EOF
default wide
label wide
 kernel vmlinuz
 append initrd=initrd console=ttyS0 quiet nokaslr mitigations=off rdinit=/init jobs=$2
EOF
    xorriso -as mkisofs -quiet -o "$1" -b isolinux.bin -c boot.cat -no-emul-boot -boot-load-size 4 -boot-info-table "$work/iso" 2>/dev/null
}

# ---- one processor -------------------------------------------------------------------------------------------------------

# Linux 6.1 does not boot on Bochs's own Ice Lake: it is made from the processor before by adding VNNI.
bochs_model() {
    case $1 in
    icelake-server) echo 'corei3_cnl, add_features="avx512vnni"' ;;
    skylake-avx512) echo corei7_skylake_x ;;
    x86-64-v3) echo corei7_haswell_4770 ;;
    x86-64-v2) echo corei5_lynnfield_750 ;;
    older) echo core2_penryn_t9600 ;; # no SSE4.2
    *) echo "$1" ;;
    esac
}

# An emulated second is as many instructions as `ips` says; what Linux's clock tells in there means nothing.
run_bochs() { # PROCESSOR DISK
    cat >"$work/$1.rc" <<EOF
cpu: model=$(bochs_model "$1"), count=1, ips=20000000, reset_on_triple_fault=0
memory: guest=1536, host=1536
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/vgabios/vgabios.bin
ata0-master: type=cdrom, path=$2, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=$work/$1.serial
display_library: nogui
log: $work/$1.log
panic: action=fatal
EOF
    # With a debugger inside it waits for the command to go on.
    echo c >"$work/continue"
    local continue=()
    "$bochs" --help 2>&1 | grep -q -- '-rc ' && continue=(-rc "$work/continue")
    timeout "${TLBC_WIDE_SECONDS:-7200}" "$bochs" -q -f "$work/$1.rc" "${continue[@]}" >"$work/$1.out" 2>&1 </dev/null
}

# What sessions must choose there: the best of the list, and nothing that the processor lacks.
check_chosen() { # PROCESSOR
    local best lacks="this processor lacks instructions that the model was compiled for" cpu runs=no best=
    for cpu in ${cpus//,/ }; do
        [ "$cpu" = "$1" ] && runs=yes best=$cpu
        [ $runs = yes ] && echo "chosen/$cpu.so $cpu" || echo "chosen/$cpu.so $lacks"
    done
    echo "chosen/all.so ${best:-$lacks}"
}

run_processor() { # PROCESSOR JOBS
    local serial=$work/$1.serial
    : >"$serial"
    make_disk "$work/$1.iso" "$2"
    SECONDS=0
    run_bochs "$1" "$work/$1.iso"
    tr -d '\r' <"$serial" >"$serial.txt"
    grep -E '^(FAIL|    |CHECK|JOB)' "$serial.txt"
    if grep -q '^JOB chosen' "$serial.txt" && ! diff <(check_chosen "$1" | sort) <(grep '^chosen/' "$serial.txt" | sort); then
        echo "FAIL $1: sessions take other processors' code (expected: <)"
        failed=1
    fi
    local bad
    bad=$(grep -c '^JOB .* failed' "$serial.txt")
    if ! grep -q '^END' "$serial.txt"; then echo "FAIL $1: did not come to the end; see $serial.txt and $work/$1.log"; failed=1; fi
    [ "$bad" = 0 ] || failed=1
    echo "$1: $2: $(grep -c '^JOB .* passed' "$serial.txt") passed, $bad failed, $SECONDS seconds"
}

make_root
for processor in "$@"; do
    jobs=${processor#*:}
    [ "$jobs" = "$processor" ] && jobs=chosen,vmath,differential,models
    run_processor "${processor%%:*}" "$jobs"
done
exit $failed
