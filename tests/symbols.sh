#!/bin/bash
# The runtime library goes into programs of others: all its symbols have the prefix tlbc_rt_, and it has no variables.
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
[ -n "$(nm --defined-only "$archive" 2>/dev/null | grep tlbc_rt_api)" ] || { echo "$archive is not the runtime library"; status=1; }
[ $status = 0 ] && echo "symbols are in order"
exit $status
