#!/bin/sh
# SPDX-License-Identifier: MIT
# symbols.sh SHARED-LIBRARY STATIC-LIBRARY: what the libraries do to a program that merely links them.
#   1. The shared library exports filch_* and nothing else.
#   2. The static one defines fl_* and filch_* only: no name collides with a program's own.
#   3. Loading runs no code: no constructor or destructor but the C runtime's own (one pointer each).
#   4. No executable stack, no text relocation.
set -eu
shared=$1 static=$2
failed=0
wrong() { echo "$1"; failed=1; }

exported=$(nm -D --defined-only "$shared" | awk '{ print $3 }')
[ -n "$exported" ] || wrong 'nothing is exported'
for name in $exported; do
    case $name in
    filch_*) ;;
    *) wrong "exported: $name" ;;
    esac
done

for name in $(nm -g --defined-only "$static" 2>/dev/null | awk 'NF == 3 { print $3 }'); do
    case $name in
    fl_* | filch_*) ;;
    *) wrong "defined in the static library: $name" ;;
    esac
done

for table in init_array fini_array; do
    size=$(readelf -SW "$shared" | sed -n "s/.* \.$table  *[A-Z_]*  *[0-9a-f]*  *[0-9a-f]*  *\([0-9a-f]*\) .*/\1/p")
    [ $((0x${size:-0})) -le 8 ] || wrong "$table holds more than one pointer: $((0x$size)) bytes"
done
if nm "$static" 2>/dev/null | grep -E ' [tT] _GLOBAL__'; then wrong 'a constructor in the static library'; fi

if readelf -lW "$shared" | grep GNU_STACK | grep -q RWE; then wrong 'it wants an executable stack'; fi
if readelf -dW "$shared" | grep -q TEXTREL; then wrong 'it has text relocations'; fi
exit $failed
