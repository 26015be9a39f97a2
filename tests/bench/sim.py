#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""sim.py FILCH-BENCH: laws of `filch-bench sim`, at sizes that take no time and with costs that are given. Prints the Test Anything Protocol.

How well a simulation meets the truth is not looked at: that needs a quiet machine, and `filch-bench sim --validate` does it."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

BENCH = sys.argv[1]
FREE = 'clock=0,pause=100,line=0,core=0,node=0,far=0,stream=0,barrier=0,barrier-any=0,barrier-cpu=0,interrupt=0,sleep=0,late=0,wake=0,waking=0,park=0,beside=1'
DEAR = 'clock=20,pause=30,line=60,core=0.3,node=2,far=4,stream=0.2,barrier=400,barrier-any=5000,barrier-cpu=50,interrupt=2000,sleep=400,late=50000,wake=3000,waking=20000,park=80,beside=1'
GRAPHS = ['fork:n=14,work=2,spawn=4', 'uts:tree=default,work=150,spawn=6', 'wavefront:tiles=12,work=20000,spawn=6', 'flat:tasks=3000,work=300,spawn=5']
TASKS = {'fork': 609, 'uts': 1732, 'wavefront': 144, 'flat': 3000}


def sim(*arguments, ends=0):
    done = subprocess.run([BENCH, 'sim', *arguments], stdin=subprocess.DEVNULL, text=True, capture_output=True, timeout=300)
    assert done.returncode == ends, f'status {done.returncode}, not {ends}\n{done.stdout}{done.stderr}'
    return done.stdout if ends == 0 else done.stderr


def runs(*arguments, cost=DEAR):
    return json.loads(sim('--json', '--cost', cost, *arguments))['runs']


def written(folder, text):
    path = Path(folder, 'graph')
    path.write_text(text, encoding='utf-8')
    return f'{path},spawn=0'


def makespan(folder, text, *arguments, cost=FREE):
    return runs('--graph', written(folder, text), *arguments, cost=cost)[0]['makespan_ns']


def law_every_task_once(_):
    """every task of every graph runs exactly once, under every policy, on any number of workers"""
    found = runs(*GRAPHS, '--policy', 'all', '--workers', '1,2,8,64,200')
    policies = {run['policy'] for run in found}
    assert {'runtime', 'random', 'spin'} <= policies and len(found) == len(GRAPHS) * len(policies) * 5
    for run in found:
        assert not run['wrong'] and run['tasks'] == TASKS[run['graph']], run
        if run['graph'] == 'uts':
            assert run['check'] == [1732, 1050, 6], run
        if run['graph'] == 'fork':
            assert run['check'][0] == 377, run


def law_time_is_accounted_for(_):
    """what the workers' time went to adds up, and nothing is faster than work over workers, nor than the span"""
    for run in runs(*GRAPHS, '--policy', 'all', '--workers', '1,3,16'):
        times = run['times_ms']
        total = run['workers'] * run['makespan_ns'] / 1e6
        alone = times['work'] + times['spawn']
        assert abs(sum(times.values()) - total) <= 1e-6 * total, run
        assert run['makespan_ns'] / 1e6 >= alone / run['workers'] * (1 - 1e-9), run
        assert run['makespan_ns'] >= run['span_ns'] * (1 - 1e-9), run
        assert abs(run['speedup'] - alone / (run['makespan_ns'] / 1e6)) <= 1e-6 * run['speedup'], run
        assert sum(run['thefts'].values()) <= sum(run['tries'].values()), run


def law_same_seed_same_answer(_):
    """a run is a function of its setup: the same again, and something else with another seed"""
    def answers(seed):
        return [{key: value for key, value in run.items() if key != 'simulated_in_s' and key != 'seed'}
                for run in runs(*GRAPHS, '--policy', 'all', '--workers', '16,100', '--seed', seed)]
    assert answers('7') == answers('7')
    assert answers('7') != answers('8')


def law_one_worker_is_the_sum(_):
    """one worker takes as long as all tasks together, where nothing else costs anything"""
    for run in runs(*GRAPHS, '--workers', '1', cost=FREE):
        work, spawn = run['work_ns'], run['spawn_ns']
        assert abs(run['makespan_ns'] - run['tasks'] * (work + spawn)) < 0.01, run


def law_by_hand(folder):
    """small graphs take what one finds by hand"""
    two = 'task 0\nspawn 1\nspawn 2\njoin\ntask 1\nwork 10000\ntask 2\nwork 10000\n'
    assert makespan(folder, two, '--workers', '1') == 20000
    # The other one robs at once.
    assert makespan(folder, two, '--workers', '2', '--policy', 'rob') == 10000
    # It asks, looks every 8 turns of 100 ns, gives up after 3 us, that is at 3,200, and takes what it has asked for.
    assert makespan(folder, two, '--workers', '2') == 13200
    # It is woken by the first spawn, and runs 2 us later; what it takes then has its parent's join to wait for.
    assert makespan(folder, two, '--workers', '2', '--policy', 'rob', cost=FREE + ',waking=2000') == 12000
    # The parent works meanwhile.
    beside = 'task 0\nspawn 1\nwork 7000\njoin\nwork 1000\ntask 1\nwork 5000\n'
    assert makespan(folder, beside, '--workers', '1') == 13000
    assert makespan(folder, beside, '--workers', '2', '--policy', 'rob') == 8000
    # A barrier costs its caller; who is interrupted was done before.
    assert makespan(folder, two, '--workers', '2', '--policy', 'rob', cost=FREE + ',barrier=700,interrupt=300') == 10700
    # 0 releases 1 and 2, both release 3: the longer one is on the way. Meanwhile the other worker naps for 20, 40 and 80 us, and comes at 140.
    diamond = ('task 0\nwork 100000\nrelease 1\nrelease 2\ntask 1 after 1\nwork 200000\nrelease 3\n'
               'task 2 after 1\nwork 300000\nrelease 3\ntask 3 after 2\nwork 50000\n')
    assert makespan(folder, diamond, '--workers', '1') == 650000
    run = runs('--graph', written(folder, diamond), '--workers', '2', '--policy', 'rob', cost=FREE)[0]
    assert run['makespan_ns'] == run['span_ns'] == 450000 and run['tasks'] == 4
    # Were it longer, 2 would be waited for; now 1 is, which begins at 140.
    longer = diamond.replace('work 200000', 'work 400000')
    assert makespan(folder, longer, '--workers', '2', '--policy', 'rob') == 140000 + 400000 + 50000


def law_victims_by_distance(_):
    """near victims are tried first, and every distance of the topology is there"""
    run = runs('fork:n=25,work=100,spawn=5', '--topology', 'pack:2 numa:2 l3:2 core:4 pu:2', '--workers', '32')[0]
    assert run['others_at'] == {'core': 0, 'cache': 3, 'node': 4, 'far': 24}, run['others_at']
    assert run['tries']['far'] < run['tries']['cache'], run['tries']
    mixed = runs('fork:n=25,work=100,spawn=5', '--topology', 'pack:2 numa:2 l3:2 core:4 pu:2', '--workers', '32', '--policy', 'random')[0]
    assert mixed['tries']['far'] > mixed['tries']['cache'], mixed['tries']
    assert runs(GRAPHS[0], '--topology', 'pack:4 numa:2 core:16 pu:2', '--workers', '128')[0]['others_at']['node'] == 15


def law_a_run_is_recorded(folder):
    """a real run's graph can be written down and simulated"""
    for workload, least in (['sort', '--n', '100000', '--grain', '4096'], 30), (['wavefront', '--n', '512', '--tile', '64'], 64):
        path = str(Path(folder, 'recorded'))
        sim('--record', path, *workload)
        one, many = runs('--graph', f'{path},spawn=5', '--workers', '1,8')
        assert one['tasks'] >= least and not one['wrong'] and not many['wrong'], one
        assert one['times_ms']['work'] > 0 and many['makespan_ns'] < one['makespan_ns'] and many['makespan_ns'] >= many['span_ns']
        assert abs(one['times_ms']['work'] - many['times_ms']['work']) < 1e-6
    assert 'sort or wavefront' in sim('--record', path, 'fork', ends=2)
    assert 'form' in sim('--record', path, 'sort', '--n', '1000', '--form', 'serial', ends=2)


def law_bad_graphs_are_refused(folder):
    """a graph that cannot be run is refused, with the line"""
    for text, word in (('task 0\nspawn 1\n', 'not there'), ('task 1\n', 'numbered'), ('task 0\nspin 3\n', 'expected'), ('work 3\n', 'before'),
                       ('task 0\ntask 1\nwork 1\n', 'spawned 0 times'), ('task 0\nspawn 1\nspawn 1\ntask 1\n', 'spawned 2 times'),
                       ('task 0\nspawn 1\ntask 1 after 1\n', 'waits for others'), ('task 0\nrelease 1\ntask 1 after 2\n', 'released 1 times'),
                       ('', 'no task')):
        error = sim('--graph', written(folder, text), '--cost', FREE, ends=2)
        assert word in error and ':' in error, (text, error)
    circle = 'task 0\nwork 1\ntask 1 after 1\nrelease 2\ntask 2 after 1\nrelease 1\n'
    assert 'circle' in sim('--graph', written(folder, circle), '--cost', FREE, '--workers', '2', ends=1)


def law_mistakes_are_explained(_):
    """a command line that is wrong is explained"""
    for arguments, word in ((['knots'], 'fork, uts'), (['fork:n=99'], 'size'), (['fork:m=3'], 'parameter'), (['uts:tree=T9'], 'T1L'), (['--policy', 'kind'], '--list'),
                            (['--workers', '0'], '1024'), (['--cost', 'clock'], 'KEY=NUMBER'), (['--cost', 'rent=3'], '--list'), (['--costs', '/no'], 'metal'),
                            (['--seed', '0'], 'whole'), (['--rounds', 'x', '--validate'], 'whole'), (['--what'], '--help')):
        assert word in sim(*arguments, ends=2), arguments
    quick = ['fork:n=5,work=1,spawn=1', '--cost', FREE]
    assert 'pack:4' in sim(*quick, '--topology', 'round', ends=2)
    assert 'fewer cores' in sim(*quick, '--topology', 'core:4 pu:2', '--workers', '8', ends=2)


def law_help_and_tables(folder):
    """help, list and tables are there; costs that were printed can be read again"""
    assert 'usage' in sim('--help') and 'short-naps' in sim('--list')
    text = sim(*GRAPHS, '--workers', '2', '--cost', DEAR)
    assert 'where the time of all workers goes' in text and 'given' in text and 'measured' not in text
    path = Path(folder, 'costs')
    path.write_text(sim('--json', '--cost', DEAR, GRAPHS[0]), encoding='utf-8')
    assert json.loads(sim('--json', '--costs', str(path), GRAPHS[0]))['costs'] == json.loads(path.read_text(encoding='utf-8'))['costs']
    assert 'assumed' in sim('--costs', 'metal', GRAPHS[0])


def law_validation_runs_both(_):
    """--validate runs a graph for real and simulated, with costs measured here"""
    done = subprocess.run([BENCH, 'sim', '--validate', '--json', '--rounds', '1', 'fork:n=18', 'uts:tree=default', 'wavefront:tiles=2', 'flat:tasks=1000'],
                          stdin=subprocess.DEVNULL, text=True, capture_output=True, timeout=600)
    assert done.returncode in (0, 1), done.stderr  # how far off is not looked at
    found = json.loads(done.stdout)
    assert [one['workers'] for one in found['validation']] == [1, 2] * 4
    for one in found['validation']:
        assert one['real_ns'] > 0 and one['simulated_ns'] > 0 and one['good'] == (abs(one['error']) <= 0.15), one
    assert found['costs']['clock']['source'] == 'measured here' and found['costs']['clock']['value'] > 0


def main():
    laws = [law for name, law in globals().items() if name.startswith('law_')]
    print(f'1..{len(laws)}')
    failed = 0
    for number, law in enumerate(laws, 1):
        with tempfile.TemporaryDirectory() as folder:
            try:
                law(folder)
                print(f'ok {number} - {law.__doc__}', flush=True)
            except (AssertionError, OSError, ValueError, KeyError, subprocess.TimeoutExpired) as why:
                failed += 1
                print(f'not ok {number} - {law.__doc__}', flush=True)
                print(f'{law.__doc__}: {why}', file=sys.stderr)
    sys.exit(1 if failed else 0)


main()
