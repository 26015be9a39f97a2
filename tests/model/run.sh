#!/bin/bash
# SPDX-License-Identifier: MIT
# run.sh SOURCE-ROOT [HARNESS.c]: the lock-free headers of the runtime under GenMC, every interleaving of small programs.
#
# Each *.c here is a harness: a program with two or three threads that includes the very header it checks. Lines in it say how it is run:
#     genmc: --unroll=4            options, added to the model
#     mutant: NO_FENCE             compiled with -DNO_FENCE as well: a mistake that the harness must notice
# A harness passes if GenMC finds nothing under RC11 and under IMM, and something for each mutant under one of them.
# Prints the Test Anything Protocol. Without genmc on the PATH everything is skipped.
set -u
root=$(cd "$1" && pwd)
cd "$root/tests/model" || exit 1
harnesses=("${2:-}")
[ -n "${2:-}" ] || harnesses=(*.c)
if ! command -v genmc >/dev/null; then
    echo '1..0 # SKIP no genmc on the PATH'
    exit 0
fi

number=0 failed=0 log=$(mktemp)
trap 'rm -f "$log"' EXIT
report() { # STATUS NAME
    number=$((number + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $number - $2"
    else
        echo "not ok $number - $2"
        failed=$((failed + 1))
        tail -n 40 "$log" >&2
    fi
}
said() { # WORD FILE: what the harness says behind "WORD:", a line each
    sed -n "s/^.*\b$1: *\([^*]*[^* ]\).*/\1/p" "$2"
}
checked() { # MODEL FILE FLAG...
    local model=$1 file=$2
    shift 2
    read -r -a options < <(said genmc "$file"; echo)
    genmc "--$model" --disable-estimation "${options[@]}" -- -std=gnu11 -I"$root/runtime" -I"$root/include" -DFL_MODEL=1 "$@" "$file" \
        >"$log" 2>&1
}

for harness in "${harnesses[@]}"; do
    for model in rc11 imm; do
        checked $model "$harness"
        report $? "${harness%.c} holds under $model"
    done
    for mutant in $(said mutant "$harness"); do
        caught=1
        for model in rc11 imm; do
            checked $model "$harness" "-D$mutant"
            [ $? -ne 42 ] || caught=0 # 42: it found a violation; anything else is no finding, a mutant that does not compile included
            [ $caught -ne 0 ] || break
        done
        report $caught "${harness%.c} notices $mutant"
    done
done
echo "1..$number"
[ $failed -eq 0 ]
