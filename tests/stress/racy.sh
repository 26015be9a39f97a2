#!/bin/sh
# SPDX-License-Identifier: MIT
# racy.sh PROGRAM: passes if ThreadSanitizer finds the race in racy.c, and for that reason the program fails.
set -u
out=$("$1" 2>&1)
status=$?
echo "$out"
[ $status -ne 0 ] || { echo "it ended with status 0"; exit 1; }
echo "$out" | grep -q 'WARNING: ThreadSanitizer: data race' || { echo 'no data race was reported'; exit 1; }
echo "$out" | grep -q 'increment.*racy\.c' || { echo 'a race was reported, but not ours'; exit 1; }
