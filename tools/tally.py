#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tally.py [--counts] BUILD-FOLDER: what `meson test` found, a line a suite; or with --counts only "PASSED FAILED".

Reads meson-logs/testlog.json. A test that speaks the Test Anything Protocol counts as the laws it names, and once more if it broke off;
any other counts as one."""

import json
import re
import sys
from collections import defaultdict
from pathlib import Path

GOOD = {'OK', 'EXPECTEDFAIL'}


def results(folder):
    """(suite, name, 'passed' | 'failed' | 'skipped') of each test or law."""
    log = Path(folder, 'meson-logs', 'testlog.json')
    for line in log.read_text(encoding='utf-8').splitlines() if log.exists() else []:
        test = json.loads(line)
        suites, _, name = test['name'].rpartition(' / ')
        suite = suites.rpartition(':')[2] or name # Meson leaves it out where there is but one test
        laws = []
        output = test.get('stdout') or ''
        if re.search(r'^1\.\.\d', output, re.M):
            laws = re.findall(r'^(not ok|ok)\b[ \d]*(?:- )?(.*)$', output, re.M)
        for verdict, law in laws:
            skipped = re.search(r'#\s*skip', law, re.I)
            yield suite, law.strip(), 'skipped' if skipped else 'passed' if verdict == 'ok' else 'failed'
        if test['result'] in GOOD:
            if not laws:
                yield suite, name, 'passed'
        elif test['result'] == 'SKIP':
            yield suite, name, 'skipped'
        elif all(verdict == 'ok' for verdict, _ in laws):
            yield suite, f'{name} ({test["result"].lower()})', 'failed'


def main():
    folder = sys.argv[-1]
    count, names = defaultdict(int), defaultdict(list)
    for suite, name, verdict in results(folder):
        count[suite, verdict] += 1
        if verdict != 'passed':
            names[suite].append(f'{verdict}: {name}')
    total = lambda verdict: sum(n for (_, v), n in count.items() if v == verdict)
    if '--counts' in sys.argv:
        print(total('passed'), total('failed'))
        return
    for suite in sorted({suite for suite, _ in count}):
        print(f'   {suite:12}', ', '.join(f'{count[suite, v]} {v}' for v in ('passed', 'failed', 'skipped') if count[suite, v]))
        for name in names[suite]:
            print(f'      {name}')


main()
