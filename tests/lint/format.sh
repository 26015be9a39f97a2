#!/bin/sh
# SPDX-License-Identifier: MIT
# format.sh SOURCE-ROOT: every C file is as .clang-format has it. To put them right: tests/lint/format.sh SOURCE-ROOT -i
# Exit status 77 (skipped) without clang-format.
set -eu
cd "$1"
command -v clang-format >/dev/null || { echo 'skipped: no clang-format'; exit 77; }
if [ "${2-}" = -i ]; then
    set -- -i
else
    set -- --dry-run -Werror
fi
find runtime include bench docs tests tools -name '*.[ch]' -exec clang-format "$@" {} +
