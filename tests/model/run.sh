#!/bin/bash
# SPDX-License-Identifier: MIT
# run.sh [SOURCE-ROOT] [PATTERN...]: the lock-free headers of the runtime, the mutex, the channel and select under GenMC (https://github.com/MPI-SWS/genmc): every
# execution that a memory model allows, of small programs that include the very headers.
#
# First the harnesses, each scenario under RC11 (C11, repaired: Lahav et al., PLDI 2017; it also finds data races) and under IMM (what hardware makes
# of dependencies: Podkopaev et al., POPL 2019): none may fail. Then the mutants: a private copy of one header with a mistake in it, which one scenario
# must notice, by the error that is named. A pattern picks the checks whose name contains it: `run.sh idle`, `run.sh 'deque 7 imm'`, `run.sh mutant`.
#
# One check at a time, at low priority. Exit status 0, 1 if anything failed, 77 (skipped) if genmc is not on the PATH.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
[ $# -eq 0 ] || [ ! -d "$1" ] || { root=$(cd "$1" && pwd) && shift; }
command -v genmc >/dev/null || { echo 'skipped: no genmc on the PATH'; exit 77; }

LIMIT=120 # seconds a check
work=$(mktemp -d)
work=$(cd "$work" && pwd -P)
clean() { # GenMC leaves its intermediate code in /tmp; each file begins with the name of its source
    local file
    for file in /tmp/__genmc.ll.*; do
        [ -f "$file" ] && [ -O "$file" ] && head -n 1 "$file" | grep -qF "'$work/" && rm -f "$file"
    done
    return 0
}
trap 'clean; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
mkdir "$work/mutant"
cp "$root"/tests/model/*.[ch] "$work"

# Small capacities, so that growth is near; two looks at an owner that is inside. What is disabled only makes big harnesses slow to prepare.
# That nobody waits for ever is looked for where all waiting is a loop that the checker knows for one (waits.h). Nothing may come from a cache of instructions: GenMC 0.10.3
# takes an allocation from there with the address that it had, and may give that address away once more, so that what is alive counts as freed.
options=(--disable-estimation --disable-load-annotation --disable-confirmation-annotation --disable-instruction-caching)
defines=(-DFL_MODEL -DFL_DEQUE_FIRST_CAPACITY=2 -DFL_READY_FIRST_CAPACITY=2 -DFL_READY_SPINS=2)

check_status=0 check_count=0
check() { # TREE HARNESS SCENARIO MODEL: sets check_status and check_count, writes $work/log
    local model=(--rc11)
    [ "$4" = rc11 ] || model=(--imm --disable-mm-detector)
    grep -q '^#include "waits.h"' "$work/$2.c" && model+=(--check-liveness)
    nice -n 15 timeout "$LIMIT" genmc "${model[@]}" "${options[@]}" -- -std=gnu11 "-I$1/runtime" "-I$1/include" "${defines[@]}" \
        -DSCENARIO="$3" "$work/$2.c" >"$work/log" 2>&1
    check_status=$?
    clean
    check_count=$(sed -n 's/^Number of complete executions explored: //p' "$work/log")
    check_count=${check_count:-0}
}

number=0 total=0 passed=0 failed=0 counting=1
patterns=("$@")
wanted() { # NAME
    local pattern
    [ ${#patterns[@]} -gt 0 ] || return 0
    for pattern in "${patterns[@]}"; do
        [[ $1 != *"${pattern%.c}"* ]] || return 0
    done
    return 1
}
report() { # NAME BEGAN WHY...: a line; without a reason it passed
    local name=$1 seconds=$(((${EPOCHREALTIME//[!0-9]/} - $2) / 10000)) verdict=ok
    shift 2
    if [ $# -eq 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1)) verdict=FAILED
    fi
    printf '[%*d/%d] %-6s %-66s %7d executions %4d.%02d s\n' ${#total} $number "$total" $verdict "$name" "$check_count" \
        $((seconds / 100)) $((seconds % 100))
    [ $# -gt 0 ] || return
    echo "    $*"
    { grep -E '^(Error|Warning|Assertion violation):|error:' "$work/log"; tail -n 120 "$work/log"; } | sed 's/^/    /'
}

holds() { # HARNESS SCENARIOS [LONG]: what takes long under IMM is checked under it only with FILCH_MODEL_LONG=1 in the environment
    local scenario model name began
    for scenario in $(seq "$2"); do
        for model in rc11 imm; do
            name="$1 $scenario $model"
            wanted "$name" || continue
            [ $model = rc11 ] || [ -n "${FILCH_MODEL_LONG-}" ] || [[ " ${3-} " != *" $scenario "* ]] || continue
            if [ $counting = 1 ]; then
                total=$((total + 1))
                continue
            fi
            number=$((number + 1)) began=${EPOCHREALTIME//[!0-9]/}
            check "$root" "$1" "$scenario" $model
            if [ $check_status -eq 0 ] && [ "$check_count" -gt 0 ]; then
                report "$name" "$began"
            else
                report "$name" "$began" "status $check_status (0: no error, 42: violation, 124: more than $LIMIT s)"
            fi
        done
    done
}

# The mistake WHAT, made in HEADER by the SED expressions, leads to ERROR (a pattern for grep -E).
notices() { # HARNESS SCENARIO MODELS WHAT ERROR HEADER SED...
    local harness=$1 scenario=$2 models=$3 what=$4 error=$5 header=$6 model name began expression edit=()
    shift 6
    for model in $models; do
        name="mutant: $harness $scenario $model: $what"
        wanted "$name" || continue
        if [ $counting = 1 ]; then
            total=$((total + 1))
            continue
        fi
        number=$((number + 1)) began=${EPOCHREALTIME//[!0-9]/} check_count=0
        edit=()
        for expression; do
            edit+=(-e "$expression")
        done
        rm -rf "$work/mutant"
        mkdir "$work/mutant"
        cp -r "$root/runtime" "$root/include" "$work/mutant"
        sed -i "${edit[@]}" "$work/mutant/$header"
        if cmp -s "$root/$header" "$work/mutant/$header"; then
            : >"$work/log"
            report "$name" "$began" "the mistake could not be made: $header has changed"
            continue
        fi
        check "$work/mutant" "$harness" "$scenario" "$model"
        if [ $check_status -eq 42 ] && grep -qE "^(Error|Warning|Assertion violation): .*($error)" "$work/log"; then
            report "$name" "$began"
        else
            report "$name" "$began" "status $check_status, expected 42 (a violation) and '$error'"
        fi
    done
}

checks() {
    holds deque 17
    holds ready 6
    holds idle 22
    holds idle 23
    holds idle 24
    holds idle 25
    holds watch 8
    holds wake 7
    holds join 7
    holds mutex 9 9
    holds chan 24
    holds select 22 '2 10 15 16'
    # shellcheck source=tests/model/mutants.sh
    . "$root/tests/model/mutants.sh"
}

checks
if [ $total -eq 0 ]; then
    echo "no check is named like that: ${patterns[*]}"
    exit 1
fi
counting=0
checks
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
