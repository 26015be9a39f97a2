#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tally.py [--counts] BUILD-FOLDER: what `meson test` found, a line a suite; or with --counts only "PASSED FAILED".

Reads meson-logs/testlog.json. A test that speaks the Test Anything Protocol counts as the laws it names, and once more if it broke off;
any other counts as one. Below what failed stands what it printed, so that the end of a long log is enough to know why."""

import json
import re
import sys
from collections import defaultdict
from pathlib import Path

GOOD = {'OK', 'EXPECTEDFAIL'}
SHOWN = 12 # lines of what a test that failed printed
LAW = re.compile(r'^(not ok|ok)\b[ \d]*(?:- )?(.*)$')
FAIL = re.compile(r'\[FAIL\] (\S+?): ')  # Criterion says so after what a law printed
REASON = re.compile(r': must\(|^filch: |\d: Assertion |ERROR: |runtime error: ')


def laws_of(output):
    """[verdict, law, the lines up to the next law] of each law in a test's output; none if it doesn't speak the protocol."""
    laws = []
    if not re.search(r'^1\.\.\d', output, re.M):
        return laws
    for line in output.splitlines():
        if law := LAW.match(line):
            laws.append([law[1], law[2].strip(), []])
        elif laws and not re.match(r'1\.\.\d', line):
            laws[-1][2].append(line)
    return laws


def reason(lines):
    """Of what was printed up to a failure the last reason that was given, from its first line, and the end. What laws that passed printed may be among it."""
    begin = next((i for i in reversed(range(len(lines))) if REASON.search(lines[i])), len(lines))
    if begin + SHOWN >= len(lines):
        return lines[-SHOWN:]
    return lines[begin:begin + SHOWN // 2] + lines[-SHOWN // 2:]


def share_out(errors, laws):
    """Gives each law that failed the lines of standard error before its failure; a test that doesn't say whose they are, to its last one."""
    wrong = {law.split()[0]: printed for verdict, law, printed in laws if verdict != 'ok' and law}
    begin, whose = 0, set()
    for i, line in enumerate(errors):
        if (fail := FAIL.search(line)) and fail[1] in wrong:
            wrong[fail[1]][SHOWN:] = reason(errors[begin:i])
            begin = i + 1
            whose.add(fail[1])
    if wrong and not whose:
        next(reversed(wrong.values()))[SHOWN:] = reason(errors)


def results(folder):
    """(suite, name, 'passed' | 'failed' | 'skipped', lines printed) of each test or law."""
    log = Path(folder, 'meson-logs', 'testlog.json')
    for line in log.read_text(encoding='utf-8').splitlines() if log.exists() else []:
        test = json.loads(line)
        suites, _, name = test['name'].rpartition(' / ')
        suite = suites.rpartition(':')[2] or name # Meson leaves it out where there is but one test
        output = test.get('stdout') or ''
        laws = laws_of(output)
        errors = (test.get('stderr') or '').splitlines()
        share_out(errors, laws)
        for verdict, law, printed in laws:
            skipped = re.search(r'#\s*skip', law, re.I)
            yield suite, law, 'skipped' if skipped else 'passed' if verdict == 'ok' else 'failed', printed[:2 * SHOWN]
        if test['result'] in GOOD:
            if not laws:
                yield suite, name, 'passed', []
        elif test['result'] == 'SKIP':
            yield suite, name, 'skipped', []
        elif all(verdict == 'ok' for verdict, _, _ in laws):
            printed = output.splitlines() + errors
            begin = printed[:SHOWN // 2] if len(printed) > SHOWN else [] # a panic says why first, and what there was then
            yield suite, f'{name} ({test["result"].lower()})', 'failed', begin + printed[-SHOWN // 2 if begin else -SHOWN:]


def main():
    folder = sys.argv[-1]
    count, names = defaultdict(int), defaultdict(list)
    for suite, name, verdict, printed in results(folder):
        count[suite, verdict] += 1
        if verdict != 'passed':
            names[suite].append(f'{verdict}: {name}')
        if verdict == 'failed':
            names[suite] += ['   | ' + line[:200] for line in printed]
    total = lambda verdict: sum(n for (_, v), n in count.items() if v == verdict)
    if '--counts' in sys.argv:
        print(total('passed'), total('failed'))
        return
    for suite in sorted({suite for suite, _ in count}):
        print(f'   {suite:12}', ', '.join(f'{count[suite, v]} {v}' for v in ('passed', 'failed', 'skipped') if count[suite, v]))
        for name in names[suite]:
            print(f'      {name}')


main()
