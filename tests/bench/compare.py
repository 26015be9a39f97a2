#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""compare.py FILCH-BENCH: laws of `filch-bench compare`, at sizes that take no time. Prints the Test Anything Protocol.

Ahead or behind is not looked at: that belongs to no test."""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BENCH = sys.argv[1]
FORK = 'fork:n=10'
TINY = [FORK, 'integrate:n=1,epsilon=1e-6', 'flat:tasks=100', 'batch:batches=3,tasks=50', 'skynet:levels=2', 'uts:tree=default', 'queens:n=6',
        'sort:n=100000,grain=16384', 'matmul:n=200', 'strassen:n=200,cutoff=50', 'cholesky:n=200,tile=20', 'nbody:bodies=500,steps=3',
        'wavefront:n=500,tile=60', 'histogram:bytes=1000000,grain=65536', 'yield:tasks=10,switches=1000', 'pingpong:rounds=100',
        'threadring:passes=1000,tasks=10', 'chameneos:creatures=5,meetings=1000', 'chan:items=1000', 'prodcons:items=500,fan=2,levels=3',
        'select:channels=3,items=1000', 'park:tasks=100', 'cancel:tasks=100', 'stuck:length=20', 'timers:tasks=100,longest=20',
        'mix:units=20,rounds=1000,sleepers=5,longest=2', 'mutex:tasks=3,pairs=3000', 'rwlock:tasks=3,rounds=1000', 'sem:tasks=3,units=2,pairs=3000',
        'cond:waiters=100,rounds=2']


def compare(*arguments, ends=0):
    done = subprocess.run([BENCH, 'compare', *arguments], stdin=subprocess.DEVNULL, text=True, capture_output=True, timeout=300)
    assert done.returncode == ends, f'status {done.returncode}, not {ends}\n{done.stdout}{done.stderr}'
    return done.stdout


def measured(*arguments, ends=0):
    return json.loads(compare('--rounds', '1', '--workers', '1', '--json', *arguments, ends=ends))


def line(check='{"fib": 55, "tasks": 88}', **more):
    words = {'peer': 'fake', 'version': '1', 'workload': 'fork', 'unit': 'ns/task', 'value': 1, 'wall_ms': 1, 'cpu_ms': 1, 'peak_rss': 1, **more}
    return json.dumps(words)[:-1] + f', "check": {check}}}'


def fake(folder, body):
    """A program that is plugged in."""
    path = Path(folder, 'fake')
    path.write_text(f'#!/bin/sh\n[ "$1" = --list ] && exit 1\n{body}\n', encoding='utf-8')
    path.chmod(0o755)
    return ['--peers', 'none', '--external', f'fake={path}', FORK]


def entry(result, system='fake'):
    return next(one for one in result['results'][0]['entries'] if one['system'] == system)


def law_pthreads_takes_part(_):
    """pthreads takes part"""
    peers = {one['name'] for one in measured(FORK)['systems']}
    if 'pthreads' not in peers:
        return 'no peer is built'
    result = measured(FORK, '--peers', 'pthreads')
    mine, its = entry(result, 'filch'), entry(result, 'pthreads')
    assert mine['status'] == its['status'] == 'ok', its
    assert its['runs'][0]['check'] == {'fib': 55, 'tasks': 88} == mine['runs'][0]['check']
    assert its['ratio']['rounds'][0] > 0 and its['ratio']['verdict'] == "can't tell"
    assert result['machine']['kernel'] and len(result['results'][0]['cpus']) == 1
    return None


def law_all_agree(_):
    """every peer comes to filch's result in all that it can express"""
    if 'pthreads' not in compare('--list'):
        return 'no peer is built'
    text = compare('--rounds', '1', '--workers', '2', '--json', *TINY)
    entries = [(one['workload'], entry) for one in json.loads(text)['results'] for entry in one['entries']]
    assert len(entries) > 2 * len(TINY)
    for workload, one in entries:
        assert one['status'] == 'ok' and one['runs'][0]['peak_rss'] > 0, (workload, one)
        assert one['runs'][0]['value'] > 0 or workload == 'timers', (workload, one)  # Erlang counts CPU time in whole milliseconds
    return None


def law_limits_get_a_filch_of_their_own(_):
    """a peer's limit gets a filch of the same size"""
    if 'pthreads' not in compare('--list'):
        return 'no peer is built'
    entries = measured('fork:n=21', '--peers', 'pthreads')['results'][0]['entries']
    assert [one['params']['n'] for one in entries] == [21, 20, 20], entries
    assert entries[2]['against'] == 1
    return None


def law_texts_as_limits(folder):
    """a limit may be several texts, and what it would only repeat is left out"""
    listed = '{"peer": "fake", "version": "1", "workloads": {"uts": {"tree": "default|T1"}}}'
    path = Path(folder, 'fake')
    path.write_text(f"""#!/bin/sh\n[ "$1" = --list ] && echo '{listed}' && exit\nexit 3\n""", encoding='utf-8')
    path.chmod(0o755)
    result = measured('--peers', 'none', '--external', f'fake={path}', 'uts:tree=T1', 'uts:tree=T3', 'uts:tree=T5')
    trees = [[one['params']['tree'] for one in trial['entries'] if one['system'] == 'fake'] for trial in result['results']]
    assert trees == [['T1'], ['default'], []], trees


def law_right_program(folder):
    """a program that is plugged in and right"""
    result = measured(*fake(folder, f"echo '{line()}'"))
    assert entry(result)['status'] == 'ok' and entry(result)['ratio']['median'] > 0


def law_wrong_program(folder):
    """a wrong check is found"""
    result = measured(*fake(folder, f"""echo '{line('{"fib": 56}')}'"""), ends=1)
    assert entry(result)['status'] == 'wrong' and 'ratio' not in entry(result)


def law_proves_nothing(folder):
    """no check is as bad as a wrong one"""
    assert entry(measured(*fake(folder, f"echo '{line('{}')}'"), ends=1))['status'] == 'wrong'


def law_fails(folder):
    """a program that fails says why"""
    failed = entry(measured(*fake(folder, 'echo it is broken >&2; exit 1'), ends=1))
    assert failed['status'] == 'failed' and 'it is broken' in failed['why'], failed


def law_cannot(folder):
    """what cannot express a workload is no failure"""
    assert entry(measured(*fake(folder, 'exit 3')))['status'] == 'cannot'


def law_hangs(folder):
    """a program that hangs is ended with all that it has started"""
    result = measured(*fake(folder, 'sleep 100 & echo $! >"$0.pid"; wait'), '--limit', '3', ends=1)
    assert entry(result)['status'] == 'timeout', entry(result)
    stat = Path('/proc', Path(folder, 'fake.pid').read_text(encoding='utf-8').strip(), 'stat')
    for _ in range(100):  # it has been killed, and may still be on its way out
        try:
            state = stat.read_text(encoding='utf-8').split()[2]
        except OSError:
            return
        if state == 'Z':
            return
        time.sleep(0.1)
    assert False, f'it is still there, in state {state}'


def law_arguments(folder):
    """what a program is called with"""
    measured(*fake(folder, f"""echo "$@" >"$0.arguments"; taskset -p $$ >"$0.mask" 2>/dev/null; echo '{line()}'"""))
    assert Path(folder, 'fake.arguments').read_text(encoding='utf-8') == 'fork --workers 1 --n 10\n'
    mask = Path(folder, 'fake.mask').read_text(encoding='utf-8').split(':')[-1].strip()
    assert not mask or bin(int(mask, 16)).count('1') == 1, mask


def law_table(folder):
    """the table"""
    text = compare('--rounds', '2', '--workers', '1', *fake(folder, f"echo '{line()}'"))
    assert 'filch/it' in text and 'CPU ms' in text and 'The same program differs by' in text, text


def law_command_line(_):
    """what is not understood"""
    for wrong in (['--peers', 'nobody'], ['--rounds', '0'], ['--workers', 'x'], ['--external', 'x'], ['fork:n'], ['--what'], ['nosuch'], ['fork:m=mn'], ['fork', 'pingpong:nosuch=1']):
        compare(*wrong, ends=2)
    assert '--external' in compare('--help')


def main():
    laws = [law for name, law in globals().items() if name.startswith('law_')]
    print(f'1..{len(laws)}')
    failed = 0
    for number, law in enumerate(laws, 1):
        with tempfile.TemporaryDirectory() as folder:
            try:
                skipped = law(folder)
                print(f'ok {number} - {law.__doc__}' + (f' # SKIP {skipped}' if skipped else ''), flush=True)
            except (AssertionError, OSError, ValueError, subprocess.TimeoutExpired) as why:
                failed += 1
                print(f'not ok {number} - {law.__doc__}', flush=True)
                print(f'{law.__doc__}: {why}', file=sys.stderr)
    sys.exit(1 if failed else 0)


main()
