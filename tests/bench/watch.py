#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""watch.py TOOLS-FOLDER: the laws of tools/bench-compare and tools/bench-instructions.

What they run is made up here: a bench that says given figures, and a Valgrind that has counted given instructions."""

import itertools
import json
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / 'programs'))
from programs import check, command, equal, law, run

TOOLS = Path(sys.argv[1]).resolve()
COMPARE, INSTRUCTIONS = TOOLS / 'bench-compare', TOOLS / 'bench-instructions'
temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name)
names = itertools.count()

# Says the next of its figures for a workload each time; writes down who ran. A string in place of figures is an error.
BENCH = '''#!/usr/bin/env python3
import json, sys
from pathlib import Path
me = Path(sys.argv[0])
figures = json.loads(me.with_suffix('.json').read_text())[sys.argv[2]]
with open(me.parent / 'order', 'a') as f:
    print(me.name, sys.argv[2], file=f)
if figures is None:
    sys.exit(2)
if isinstance(figures, str):
    sys.exit(figures)
said = me.with_suffix('.said-' + sys.argv[2])
count = len(said.read_text()) if said.exists() else 0
said.write_text('x' * (count + 1))
value = figures[count % len(figures)]
unit = 'requests/s' if sys.argv[2] == 'http' else 'ns/task'
print(json.dumps({'bench': sys.argv[2], 'workers': 1, 'model': 'mn', 'runs': 1, 'params': {}, 'unit': unit, 'min': value, 'median': value,
                  'max': value, **({'wrong': True} if value < 2 else {})}))
sys.exit(value < 2)
'''


def bench(**figures):
    path = folder / f'bench{next(names)}'
    path.write_text(BENCH)
    path.chmod(0o755)
    path.with_suffix('.json').write_text(json.dumps(figures))
    return path


def compare(old, new, *words, status):
    ran = command(COMPARE, old, new, *words, '--json', status=status)
    return {row['workload'].split()[0]: row for row in json.loads(ran.stdout)['workloads']}


def verdict(old, new, status, workload='fork', rounds=9):
    """Of a workload with these figures."""
    rows = compare(bench(**{workload: old}), bench(**{workload: new}), f'{workload} --n 1', '--rounds', rounds, status=status)
    return rows[workload]['verdict']


STEADY = [100, 101, 99, 100, 102, 98, 100, 101, 99]


@law
def slower_is_told():
    """compare: what takes a tenth more in each round is slower, and the status 1"""
    equal(verdict(STEADY, [x * 1.1 for x in STEADY], 1), 'slower')


@law
def faster_is_told():
    """compare: what takes a tenth less in each round is faster, and the status 0"""
    equal(verdict(STEADY, [x * 0.9 for x in STEADY], 0), 'faster')


@law
def nothing_is_told():
    """compare: within the margin, with a spread above the difference, with rounds that disagree, with few rounds it cannot tell"""
    equal(verdict(STEADY, [x * 1.01 for x in STEADY], 0), "can't tell")
    equal(verdict([100], [80, 140, 130, 90, 120, 125, 135, 85, 150], 0), "can't tell")
    equal(verdict([100], [110, 110, 110, 90, 110, 110, 110, 90, 110], 0), "can't tell")
    equal(verdict(STEADY, [x * 1.5 for x in STEADY], 0, rounds=5), "can't tell")
    equal(verdict(STEADY, [x * 1.5 for x in STEADY], 1, rounds=6), 'slower')


@law
def drift_is_no_difference():
    """compare: a machine that becomes slower by half hits both alike"""
    drift = [100 * 1.05 ** i for i in range(9)]
    equal(verdict(drift, [x * 1.001 for x in drift], 0), "can't tell")
    equal(verdict(drift, [x * 1.06 for x in drift], 1), 'slower')


@law
def more_may_be_better():
    """compare: more requests a second are faster"""
    equal(verdict(STEADY, [x * 1.1 for x in STEADY], 0, workload='http'), 'faster')
    equal(verdict(STEADY, [x * 0.9 for x in STEADY], 1, workload='http'), 'slower')


@law
def in_turn():
    """compare: both are run in turn, the first of a round alternates"""
    (folder / 'order').unlink(missing_ok=True)
    a, b = bench(fork=STEADY, flat=STEADY), bench(fork=STEADY, flat=STEADY)
    compare(a, b, 'fork --n 1', 'flat --tasks 1', '--rounds', 2, status=0)
    order = [line.split()[0] for line in (folder / 'order').read_text().splitlines()]
    equal(order, [p.name for p in (a, b, a, b, b, a, b, a)])


@law
def failures():
    """compare: a wrong result or a failure of NEW ends with 1; a workload that one of them lacks is named and passed over"""
    good = bench(fork=STEADY, flat=STEADY)
    rows = compare(good, bench(fork=[1], flat=STEADY), 'fork --n 1', 'flat --n 1', status=1)
    equal((rows['fork']['verdict'], rows['fork']['why']), ('fails', 'NEW: a wrong result'))
    rows = compare(good, bench(fork='broken', flat=STEADY), 'fork --n 1', 'flat --n 1', status=1)
    equal((rows['fork']['verdict'], rows['fork']['why']), ('fails', 'NEW: status 1, broken'))
    rows = compare(bench(fork=None, flat=STEADY), good, 'fork --n 1', 'flat --n 1', status=0)
    equal((rows['fork']['verdict'], rows['fork']['why']), ('absent', 'not in OLD'))
    compare(bench(fork=None), good, 'fork --n 1', status=1)


def said(low, median, high, runs=5, **more):
    return json.dumps({'bench': 'fork', 'workers': 1, 'model': 'mn', 'runs': runs, 'params': {'n': 30}, 'unit': 'ns/task', 'min': low,
                       'median': median, 'max': high, **more})


def lines(*texts):
    path = folder / f'file{next(names)}'
    path.write_text('\n'.join(texts) + '\n')
    return path


def of_files(old, new, status):
    return compare(lines(*old), lines(*new), status=status)['fork']['verdict']


@law
def single_lines():
    """compare: of single lines it tells where the ranges lie apart by the margin and there are runs enough"""
    equal(of_files([said(10, 11, 12)], [said(13, 14, 15)], 1), 'slower')
    equal(of_files([said(13, 14, 15)], [said(10, 11, 12)], 0), 'faster')
    equal(of_files([said(10, 11, 12)], [said(11.9, 14, 15)], 0), "can't tell")
    equal(of_files([said(10, 11, 12)], [said(12.1, 14, 15)], 0), "can't tell")
    equal(of_files([said(10, 11, 12)], [said(13, 14, 15, runs=3)], 0), "can't tell")


@law
def many_lines():
    """compare: lines of one workload are rounds; a log of meson test has the same lines"""
    old, new = ([said(x * by, x * by, x * by) for x in (100, 150, 90, 120, 101, 99)] for by in (1, 1.1))
    equal(of_files(old, new, 1), 'slower')
    logs = ([json.dumps({'name': 'fork', 'stdout': line + '\n'}) for line in side] for side in (old, new))
    equal(of_files(*logs, 1), 'slower')
    equal(of_files(old[:1], [said(300, 300, 300, wrong=True)], 1), 'fails')


@law
def usage_of_compare():
    """compare: wrong usage ends with 2 and says what is wrong; --help explains the verdict; the table has a line a workload"""
    a, b = bench(fork=STEADY), lines(said(1, 2, 3))
    for words in ([], [a], [a, b], [a, a, 'nonesuch'], [a, a, '--rounds', '0'], [a, a, '--margin', '-1'], [a, 'no-such-commit'],
                  [a, folder], [b, lines('nonsense')], [b, lines('{}')], [b, lines('')], [b, b, 'flat']):
        check(command(COMPARE, *words, status=2).errors.strip(), f'{words}: no message')
    check(b'sign test' in command(COMPARE, '--help').stdout, '--help does not explain the verdict')
    table = command(COMPARE, a, a, 'fork --n 1').stdout.decode().splitlines()
    check(table[1].startswith('fork --n 1') and table[-1] == "0 slower, 0 faster, 1 can't tell", f'{table}')


# Writes what callgrind would, for a worker that takes 1,000 instructions and so many an operation.
VALGRIND = '''#!/usr/bin/env python3
import os, sys
from pathlib import Path
out = next(word for word in sys.argv if word.startswith('--callgrind-out-file=')).partition('=')[2]
size = int(sys.argv[sys.argv.index('--model') - 1])
if 'fork' in sys.argv:
    a, b = 0, 1
    for _ in range(size + 1):
        a, b = b, a + b
    size = a - 1
assert 'FILCH_IO' not in os.environ and 'MALLOC_PERTURB_' not in os.environ
each = float(Path(sys.argv[0]).with_name('each').read_text())
Path(out + '-02').write_text(f'events: Ir\\nsummary: {1000 + round(2 * size * each)}\\n')
'''


def instructions(each, *words, status):
    path = folder / 'path'
    path.mkdir(exist_ok=True)
    (path / 'valgrind').write_text(VALGRIND)
    (path / 'valgrind').chmod(0o755)
    (path / 'each').write_text(str(each))
    return command(INSTRUCTIONS, 'bench', 'clock', folder / 'figures.json', 'gcc-0-none', *words, status=status,
                   env={**os.environ, 'PATH': f'{path}:{os.environ["PATH"]}', 'FILCH_IO': 'uring', 'MALLOC_PERTURB_': '1'}).stdout.decode()


@law
def counting():
    """instructions: recorded figures hold within the margin, up and down, and each that is off is named"""
    (folder / 'figures.json').unlink(missing_ok=True)
    check('no figures of gcc-0-none' in instructions(100, status=77), 'no reason for the skip')
    instructions(100, '--record', status=0)
    equal(set(json.loads((folder / 'figures.json').read_text())['gcc-0-none'].values()), {100.0})
    for each in (100, 101.9, 98.1):
        instructions(each, status=0)
    for each, word in ((102.1, 'MORE'), (97.9, 'FEWER')):
        equal(instructions(each, status=1).count(word), 6)
    equal(instructions(300, '--skip', 'a reason', status=77), 'skipped: a reason\n')


run()
