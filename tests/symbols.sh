#!/bin/bash
# The runtime library goes into programs of others: all its symbols have the prefix tlbc_rt_, it has no variables, and it needs nothing of
# the compiler's own library (128-bit arithmetic and the like), which models are not linked with.
#   tests/symbols.sh libtlbc_rt.a
set -u
archive=${1:?the runtime library}
status=0
names=$(nm --defined-only "$archive" 2>/dev/null | awk 'NF==3 && $2 ~ /^[A-Z]$/ {print $3}' | grep -v '^tlbc_rt_')
if [ -n "$names" ]; then
    printf 'global symbols without the prefix tlbc_rt_:\n%s\n' "$names"
    status=1
fi
# an object in .data or .bss; constants with pointers are in .data.rel.ro
variables=$(objdump -t "$archive" 2>/dev/null | grep -E ' O +\.(data|bss|tdata|tbss)' | grep -v '\.data\.rel\.ro')
if [ -n "$variables" ]; then
    printf 'variables:\n%s\n' "$variables"
    status=1
fi
helpers=$(nm -u "$archive" 2>/dev/null | awk '$1 == "U" {print $2}' | grep -E '^__[a-z]+(ti|tf|xf)[a-z]*[0-9]*$|^__[a-z]+ti[a-z]+$' | sort -u)
if [ -n "$helpers" ]; then
    printf 'functions of the compiler'"'"'s library:\n%s\n' "$helpers"
    status=1
fi
[ -n "$(nm --defined-only "$archive" 2>/dev/null | grep tlbc_rt_api)" ] || { echo "$archive is not the runtime library"; status=1; }
[ $status = 0 ] && echo "symbols are in order"
exit $status
