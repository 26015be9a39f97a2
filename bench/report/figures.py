# SPDX-License-Identifier: MIT
"""The figures of a report, out of what filch-bench has written. No drawing here, and nothing but Python's own library.

What is read: the object of `compare --json`, the lines of `run NAME --json`, and the object of `report --save`, which holds such outputs
with their commands, and kernel entries. Later figures of the same thing take the place of earlier ones."""

import json
import math
import re
import sys
from dataclasses import dataclass, field

# Which threading model a system stands for. The rest has tasks that do not wait, or is unknown.
MODELS = {'pthreads': '1:1', 'rust': '1:1', 'java': '1:1', 'filch 1:1': '1:1', 'threads': '1:1',
          'pth': 'N:1', 'st': 'N:1', 'filch N:1': 'N:1', 'epoll': 'loop', 'uring': 'loop',
          'go': 'M:N', 'erlang': 'M:N', 'boost-fiber': 'M:N', 'filch': 'M:N',
          'libgomp': 'no wait', 'libomp': 'no wait', 'tbb': 'no wait', 'net-http': 'M:N'}
PEERS = ('pthreads', 'rust', 'java', 'pth', 'st', 'go', 'erlang', 'boost-fiber', 'libgomp', 'libomp', 'tbb')  # of bench/peers
NAMES = {'pthreads': 'pthreads', 'rust': 'Rust threads', 'java': 'Java', 'filch 1:1': 'filch as 1:1', 'pth': 'GNU Pth',
         'st': 'State Threads', 'filch N:1': 'filch as N:1', 'go': 'Go', 'erlang': 'Erlang', 'boost-fiber': 'Boost.Fiber', 'filch': 'filch',
         'libgomp': 'OpenMP, gcc', 'libomp': 'OpenMP, clang', 'tbb': 'oneTBB', 'threads': 'kernel threads', 'epoll': 'epoll loop',
         'uring': 'io_uring loop', 'net-http': 'Go net/http'}
ORDER = list(MODELS)
VARIANTS = {'11': 'filch 1:1', 'n1': 'filch N:1', 'mn': 'filch'}
COMPUTING = ('fork', 'integrate', 'flat', 'batch', 'skynet', 'uts', 'queens', 'sort', 'matmul', 'strassen', 'cholesky', 'nbody', 'wavefront',
             'histogram')


class Unreadable(Exception):
    """A file is not what it should be; the text says which and why."""


@dataclass
class Summary:
    median: float
    low: float
    high: float


@dataclass
class Entry:
    """A system in a trial, or filch alone in a run."""
    system: str
    workers: int
    value: Summary
    unit: str
    params: dict = field(default_factory=dict)
    ratio: Summary = None    # its figure / filch's
    verdict: str = ''
    more: dict = field(default_factory=dict)
    wall_ms: float = 0
    cpu_ms: float = 0
    peak_rss: float = 0
    shapes: dict = field(default_factory=dict)
    status: str = 'ok'
    why: str = ''


@dataclass
class Shape:
    """A distribution: pairs of (part of all that is below, value), the last one the maximum."""
    system: str
    points: list
    samples: int
    unit: str


def name_of(system):
    return NAMES.get(system, system)


def order_of(system):
    return ORDER.index(system) if system in ORDER else len(ORDER)


def median(values):
    values = sorted(values)
    half = len(values) // 2
    return values[half] if len(values) % 2 else (values[half - 1] + values[half]) / 2


def digits(value):
    """Three that count, without an exponent: 0.0123, 7.25, 41.3, 1,230."""
    if value == 0 or not math.isfinite(value):
        return f'{value:.0f}'
    places = max(0, 2 - math.floor(math.log10(abs(float(f'{value:.3g}')))))
    text = f'{value:,.{min(places, 6)}f}'
    return text.rstrip('0').rstrip('.') if '.' in text and abs(value) >= 100 else text


def scaled(value, units, factor=1000):
    for unit in units[:-1]:
        if abs(value) < factor * (1 if factor == 1000 else 0.9995):
            return f'{digits(value)} {unit}'
        value /= factor
    return f'{digits(value)} {units[-1]}'


def time_text(ns):
    return scaled(ns, ('ns', 'µs', 'ms', 's'))


def bytes_text(count):
    return scaled(count, ('B', 'KiB', 'MiB', 'GiB'), 1024)


NS = {'ns': 1, 'us': 1e3, 'ms': 1e6, 's': 1e9}


def value_text(value, unit):
    """7.25 ns, 41 ms CPU, whatever the unit of a workload is."""
    head, slash, what = unit.partition('/')
    first, _, rest = head.partition(' ')
    if first in NS:
        return time_text(value * NS[first]) + (' ' + rest if rest else '')
    return f'{digits(value)} {unit}'


def params_text(params):
    return ', '.join(f'{key} {value:,}' if isinstance(value, int) else f'{key} {value}' for key, value in params.items())


def spread_of(block, low='min', high='max'):
    return Summary(block['median'], block[low], block[high])


def shape_of(system, block):
    points = []
    samples = block['samples']
    for percent, value in zip(block['percent'], block['value']):
        part = percent / 100
        if percent == 100 or (1 - part) * samples >= 1:  # beyond that it is the maximum once more
            points.append((part, value))
    return Shape(system, points, samples, block['unit'])


class Figures:
    def __init__(self):
        self.machines, self.dates, self.versions, self.commands, self.failures = [], [], {}, [], []
        self.trials = {}    # (workload, params as text) -> {(workers, system): Entry}
        self.trial_params = {}
        self.runs = {}      # (bench, form and what else is asked) -> the object
        self.entries = {}   # (system, workload) -> object
        self.noise = None
        self.rounds = 0
        self.quick = False
        self.seconds = 0

    # ---- reading ----

    def read(self, path):
        try:
            text = sys.stdin.read() if path == '-' else open(path, encoding='utf-8').read()
        except (OSError, UnicodeDecodeError) as why:
            raise Unreadable(f'{path}: {getattr(why, "strerror", None) or "it is no text"}') from why
        try:
            objects = [json.loads(text)]
        except ValueError:
            objects = []
            for number, line in enumerate(text.splitlines(), 1):
                if line.startswith('{'):
                    try:
                        objects.append(json.loads(line))
                    except ValueError as why:
                        raise Unreadable(f'{path}, line {number}: no JSON: {why}') from why
        if not objects:
            raise Unreadable(f'{path}: there is no JSON in it; give it what `filch-bench compare --json`, `run NAME --json` or '
                             '`report --save` has written')
        for one in objects:
            try:
                self.absorb(one, None)
            except (KeyError, TypeError, AttributeError, ValueError) as why:
                raise Unreadable(f'{path}: {why}' if isinstance(why, ValueError) else f'{path}: its JSON has no {why}') from why

    def absorb(self, one, command):
        if isinstance(one, list):
            for each in one:
                self.absorb(each, command)
        elif 'report' in one:
            self.absorb_report(one)
        elif 'results' in one and 'systems' in one:
            self.absorb_compare(one, command)
        elif 'bench' in one:
            self.absorb_run(one, command)
        else:
            raise ValueError('neither `compare --json` nor `run NAME --json` nor `report --save` writes such an object')

    def meet(self, one):
        if one['machine'] not in self.machines:
            self.machines.append(one['machine'])
        self.dates.append(one['date'])
        for system in one['systems']:
            self.versions[system['name']] = system['version']

    def absorb_report(self, report):
        self.meet(report)
        self.quick = self.quick or report.get('quick', False)
        self.seconds += report.get('seconds', 0)
        for step in report['measured']:
            if 'entries' in step:
                for figure in step['entries']:
                    system = VARIANTS[figure['model']] if 'model' in figure else figure['system']
                    self.entries[system, figure['workload']] = figure
                    if 'command' in figure and 'value' in figure:
                        self.commands.append(f'{figure["command"]}  # and with {figure["sizes"][0]} in place of {figure["sizes"][1]}')
            elif 'output' in step:
                self.absorb(step['output'], step['command'])
            else:
                self.failures.append((step['command'], step['why']))

    def absorb_compare(self, one, command):
        self.meet(one)
        arguments = one.get('settings', {}).get('arguments', [])
        self.commands.append(command or 'filch-bench ' + ' '.join(arguments))
        self.noise = one.get('noise')
        for result in one['results']:
            key = result['workload'], json.dumps(result['params'], sort_keys=True)
            trial = self.trials.setdefault(key, {})
            self.trial_params[key] = result['params']
            for other in result['entries']:
                entry = self.entry_of(other, result)
                if entry.system == 'filch' and other['against'] != 0:
                    continue  # the one that a smaller peer is measured against
                trial[result['workers'], entry.system] = entry
                if entry.status != 'ok':
                    self.failures.append((f'{result["workload"]}, {name_of(entry.system)}, {result["workers"]} workers', entry.why))

    def entry_of(self, one, result):
        runs = one['runs']
        entry = Entry(one['system'], result['workers'], spread_of(one['value']) if runs else None, one['unit'], one['params'],
                      status=one['status'], why=one.get('why', ''))
        self.rounds = max(self.rounds, len(runs))
        if 'ratio' in one:
            ratio = one['ratio']
            entry.ratio = Summary(1 / ratio['median'], 1 / ratio['high'], 1 / ratio['low'])
            entry.verdict = ratio['verdict']
        for key in ('wall_ms', 'cpu_ms', 'peak_rss'):
            setattr(entry, key, one[key]['median'] if key in one else 0)
        for name in runs[0]['more'] if runs else ():
            values = [run['more'][name]['value'] for run in runs if name in run['more']]
            entry.more[name] = Summary(median(values), min(values), max(values))
        shapes = [run['distributions'] for run in runs if run.get('distributions')]
        for name in shapes[0] if shapes else ():
            of_runs = [shape[name] for shape in shapes if name in shape]
            middle = [median(column) for column in zip(*(shape['value'] for shape in of_runs))]
            entry.shapes[name] = shape_of(one['system'], {**of_runs[0], 'value': middle})
        return entry

    def absorb_run(self, one, command):
        self.commands.append(command or self.command_of(one))
        self.rounds = max(self.rounds, one['runs'])
        if one.get('wrong'):
            self.failures.append((self.commands[-1], 'a check was wrong, or two forms came to different results'))
        key = (one['bench'], one['model'], one['params'].get('form'), one['params'].get('kind'))
        self.runs[key] = one

    @staticmethod
    def command_of(one):
        words = [f'filch-bench run {one["bench"]}'] + [f'--{key} {value}' for key, value in one['params'].items() if not isinstance(value, bool)]
        return ' '.join(words + [f'--workers {one["workers"]} --model {one["model"]} --runs {one["runs"]}'])

    # ---- asking ----

    def workloads(self):
        """(title, key) of all trials; parameters are in the title where the name alone is not enough."""
        titles = {}
        for key in self.trials:
            name = key[0]
            others = [self.trial_params[other] for other in self.trials if other[0] == name]
            params = self.trial_params[key]
            telling = {k: v for k, v in params.items() if any(other.get(k) != v for other in others)}
            titles[key] = name + (f' {params_text(telling)}' if telling else '')
        return [(title, key) for key, title in titles.items()]

    def entry(self, workload, system, workers):
        """The entry of a system with so many workers, or with the nearest that there are."""
        best = None
        for (name, _), trial in self.trials.items():
            for (count, of), entry in trial.items():
                if name == workload and of == system and entry.status == 'ok' and (best is None or
                                                                                 abs(count - workers) < abs(best.workers - workers)):
                    best = entry
        return best

    def most_workers(self):
        return max((workers for trial in self.trials.values() for workers, _ in trial), default=1)

    def of_model(self, workload, system, workers):
        """The same, for filch under other models too."""
        found = None if system in ('filch 1:1', 'filch N:1') else self.entry(workload, system, workers)
        if found:
            return found
        for (bench, model, _, _), one in self.runs.items():
            if bench == workload and VARIANTS.get(model) == system:
                more = {name: spread_of(block) for name, block in one.get('more', {}).items()}
                return Entry(system, one['workers'], spread_of(one), one['unit'], one['params'], more=more, wall_ms=one['wall_ms'],
                             cpu_ms=one['cpu_ms'])
        return None

    def systems(self):
        """Everybody who stands for a threading model, in its order."""
        known = {entry.system for trial in self.trials.values() for entry in trial.values()}
        known |= {VARIANTS[model] for bench, model, _, _ in self.runs if bench in ('flat', 'yield', 'park', 'stuck')}
        known |= {system for system, _ in self.entries}
        return sorted((system for system in known if MODELS.get(system) in ('1:1', 'N:1', 'M:N')),
                      key=lambda system: (('1:1', 'N:1', 'M:N').index(MODELS[system]), order_of(system)))

    def table(self):
        """The threading models: for each system a dictionary of figures; None where there is none."""
        rows = []
        for system in self.systems():
            single, most = {}, {}
            for workload in ('flat', 'yield', 'pingpong', 'park'):
                single[workload] = self.of_model(workload, system, 1)
            for workload in ('stuck', *COMPUTING):
                most[workload] = self.of_model(workload, system, self.most_workers())
            row = {'system': system, 'model': MODELS[system]}
            row['create'] = single['flat'] and single['flat'].value
            row['switch'] = single['yield'] and single['yield'].value
            row['message'] = single['pingpong'] and single['pingpong'].value
            row['memory'] = single['park'] and single['park'].more.get('memory')
            row['stuck'] = most['stuck'] and most['stuck'].value
            longest = max((most[workload] for workload in COMPUTING if most[workload]), key=lambda entry: entry.wall_ms, default=None)
            row['processors'] = longest.cpu_ms / longest.wall_ms if longest and longest.wall_ms else None
            for key, workload in (('entries_create', 'flat'), ('entries_switch', 'yield'), ('entries_message', 'pingpong')):
                row[key] = self.entries.get((system, workload), {}).get('value')
                row[key + '_why'] = self.entries.get((system, workload), {}).get('why', '')
            rows.append(row)
        return rows

    def speed_ups(self):
        """For each workload that computes: its title and, a system each, [(workers, time with one / time with so many, …)]."""
        found = []
        for title, key in self.workloads():
            if key[0] not in COMPUTING:
                continue
            curves = {}
            for (workers, system), entry in sorted(self.trials[key].items(), key=lambda item: item[0]):
                first = self.trials[key].get((1, system))
                if first and first.status == entry.status == 'ok' and MODELS.get(system) != 'N:1' and entry.params == first.params:
                    curves.setdefault(system, []).append((workers, first.value.median / entry.value.median))
            curves = {system: curve for system, curve in curves.items() if len(curve) > 1}
            if curves:
                found.append((title, curves))
        return found

    def stalls(self):
        """kind -> shapes of those beside whom somebody stalls."""
        return {kind: shapes for kind, shapes in ((key[3], self.shapes_of(one, 'lateness_us')) for key, one in self.runs.items()
                                                  if key[0] == 'stall') if shapes}

    def servers(self):
        """(title, unit, [(system, Summary of the figure)], shapes) of echo and http."""
        found = []
        for (bench, *_), one in self.runs.items():
            if bench in ('echo', 'http'):
                figures = [(one['params'].get('form', 'filch'), spread_of(one))]
                figures += [(other['form'], spread_of(other)) for other in self.others(one)]
                found.append((bench, one['unit'], figures, self.shapes_of(one, 'latency_us')))
        return found

    @staticmethod
    def others(one):
        return one.get('versus') or ([one['vs']] if 'vs' in one else [])

    def shapes_of(self, one, name):
        shapes = []
        for form, block in [(one['params'].get('form', 'filch'), one)] + [(other['form'], other) for other in self.others(one)]:
            if name in block.get('distributions', {}):
                shapes.append(shape_of(form, block['distributions'][name]))
        return shapes

    def lateness(self):
        """Of the sleepers of `timers`: whoever has no distribution has percentiles."""
        shapes = []
        systems = {entry.system for (name, _), trial in self.trials.items() if name == 'timers' for entry in trial.values()}
        for system in sorted(systems, key=order_of):
            entry = self.entry('timers', system, self.most_workers())
            if not entry:
                continue
            if 'lateness_us' in entry.shapes:
                shapes.append(entry.shapes['lateness_us'])
            else:
                points = []
                for name, summary in entry.more.items():
                    percent = re.fullmatch(r'lateness_us\.(?:p([\d.]+)|max)', name)
                    if percent:
                        points.append((float(percent[1]) / 100 if percent[1] else 1, summary.median))
                if points:
                    shapes.append(Shape(system, sorted(points), entry.params.get('tasks', 1000), 'us'))
        return shapes

    def verdicts(self):
        """How often filch is ahead, behind, and not to be told, of all with at least two rounds."""
        words = [entry.verdict for trial in self.trials.values() for entry in trial.values() if entry.ratio and entry.verdict]
        return words.count('ahead'), words.count('behind'), len(words)


def slug(text):
    return re.sub(r'[^a-z0-9]+', '-', text.lower()).strip('-')
