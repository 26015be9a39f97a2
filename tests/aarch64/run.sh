#!/bin/sh
# SPDX-License-Identifier: MIT
# run.sh SOURCE-ROOT: builds the AArch64 switch with the cross compiler and runs its test under qemu's user mode; on an AArch64 machine
# with its own compiler, directly. Twice: as the compiler comes, and built for pointer authentication and branch targets.
# Exit status 77 (skipped) when the tools are missing: Debian's gcc-aarch64-linux-gnu, libc6-dev-arm64-cross, qemu-user.
set -eu
root=$1

if [ "$(uname -m)" = aarch64 ]; then
    cc=${CC:-cc} run=
else
    cc=aarch64-linux-gnu-gcc run='qemu-aarch64 -L /usr/aarch64-linux-gnu'
fi
for tool in $cc ${run%% *}; do
    command -v "$tool" >/dev/null || { echo "skipped: no $tool"; exit 77; }
done

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
for protection in none standard; do
    echo "branch protection: $protection"
    $cc -std=gnu11 -D_GNU_SOURCE -O2 -g -Wall -Wextra -Werror -frounding-math -fexceptions -mbranch-protection=$protection \
        -I"$root/runtime" -I"$root/include" -o "$dir/context_test" "$root/tests/aarch64/context_test.c" "$root/tests/aarch64/registers.S" \
        "$root/runtime/machine/context_aarch64.S" -lm
    $run "$dir/context_test"
done
