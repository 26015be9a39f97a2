#!/bin/sh
# SPDX-License-Identifier: MIT
# compile.sh INCLUDE-PATH LANGUAGE STANDARD FILE COMPILER...: FILE is a public header, which is included twice and as the only one, or a
# source file.
set -eu
include=$1 language=$2 standard=$3 file=$4
shift 4
case $file in
*.c) cat "$file" ;;
*) printf '#include <%s>\n#include <%s>\nint main(void) { return 0; }\n' "$file" "$file" ;;
esac | "$@" -x "$language" -std="$standard" -pedantic -Wall -Wextra -Werror -Wundef -Wshadow -I"$include" -fsyntax-only -
