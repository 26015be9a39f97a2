# SPDX-License-Identifier: MIT
"""The page of a report: HTML around the charts, with nothing from outside."""

import html
from pathlib import Path

import charts
from figures import MODELS, PEERS, bytes_text, digits, name_of, order_of, params_text, slug, time_text, value_text

ABOUT = {'1:1': 'a kernel thread for each task', 'N:1': 'all tasks on one kernel thread', 'M:N': 'tasks move between a few kernel threads'}

# What a workload is, for those who have not read docs/concepts/bench.md.
WORKLOADS = {
    'fork': 'fib(n), a task a call', 'integrate': 'an integral, halved by need', 'flat': 'many tasks from one',
    'batch': 'batches of tasks, joined one after the other', 'skynet': 'a tree of tasks, ten children each',
    'uts': 'an unbalanced tree search', 'queens': 'queens on a board, all solutions', 'sort': 'merge sort of integers',
    'matmul': 'matrices multiplied', 'strassen': 'matrices, by Strassen', 'cholesky': 'a matrix factored, tile by tile',
    'nbody': 'bodies that attract each other', 'wavefront': 'tiles that wait for two others', 'histogram': 'how often each byte occurs',
    'yield': 'tasks that yield in turn', 'pingpong': 'a message there and back', 'threadring': 'a token round a ring',
    'chameneos': 'meetings in pairs', 'chan': 'items through a channel', 'prodcons': 'items through many hands',
    'select': 'the first of several channels', 'park': 'many tasks come to wait', 'cancel': 'many that wait are called off',
    'timers': 'many tasks sleep', 'mix': 'sleepers among tasks that compute', 'mutex': 'a lock that all want',
    'rwlock': 'a lock for readers and writers', 'sem': 'units of a semaphore', 'cond': 'a broadcast to all',
    'stuck': 'others held up by a blocking call', 'echo': 'a server that sends back', 'http': 'a server with one page',
}


def e(text):
    return html.escape(str(text))


def plural(count, word):
    return f'{count} {word}' if count == 1 else f'{count} {word}s'


class Page:
    def __init__(self, known):
        self.known = known
        self.charts = []
        self.sections = []  # (id, title, html)
        self.most = known.most_workers()
        for part in (self.models, self.compared, self.speed_ups, self.stalls, self.lateness, self.servers, self.machine):
            part()

    def section(self, name, title, body):
        self.sections.append((name, title, body))

    def card(self, draw, name, title, note, *arguments, **more):
        name = slug(name)
        self.charts.append(name)
        svg = draw(name, f'{title}: {note}' if note else title, *arguments, **more)
        return f'<figure><figcaption><b>{e(title)}</b><span>{e(note)}</span></figcaption>\n{svg}\n</figure>\n'

    # ---- three models ----

    def models(self):
        rows = self.known.table()
        if not rows:
            return
        body = ['<p>A runtime puts tasks on kernel threads in one of three ways: a thread each (1:1), all on one (N:1), or many on a few (M:N). '
                'The same work, measured on this machine under each system that stands for one. filch can run as any of them.</p>',
                self.table(rows), '<div class="cards">']
        for key, title, note, words in (
                ('create', 'Creation', 'to spawn a task and join it, one CPU', time_text),
                ('switch', 'Switch', 'from a task that yields to the next, one CPU', time_text),
                ('message', 'Message', 'to another task and back, one CPU', time_text),
                ('stuck', 'Blocking', 'one task is in a blocking call: the longest that others are held up', lambda ms: time_text(ms * 1e6))):
            if any(row[key] for row in rows):
                body.append(self.card(charts.dots, f'model-{key}', title, note, [(row['system'], row[key]) for row in rows if row[key]], words))
        if any(row[key] is not None for row in rows for key, _, _ in charts.KINDS):
            body.append(self.card(charts.kernel_entries, 'model-entries', 'Kernel entries', 'system calls for each operation, one CPU', rows))
        if any(row['memory'] for row in rows):
            body.append(self.card(charts.memory, 'memory', 'Memory a task', 'resident bytes of one that waits',
                                  [(row['system'], row['memory']) for row in rows if row['memory']]))
        body.append('</div>')
        self.section('models', 'Three threading models', '\n'.join(body))

    def table(self, rows):
        def timed(row, key, scale=1):
            return f'<td>{e(time_text(row[key].median * scale))}</td>' if row[key] else self.none('not measured')

        length = self.blocked_for()
        columns = [('create', 'creation', 'a task'), ('switch', 'switch', 'yield'), ('message', 'message', 'there and back'),
                   ('memory', 'memory', 'a waiting task'), ('stuck', 'others held up', f'by a blocking call{length}'),
                   ('processors', 'processors', 'used while computing'), ('entries_create', 'kernel entries', 'a task'),
                   ('entries_switch', 'kernel entries', 'a switch'), ('entries_message', 'kernel entries', 'a message')]
        text = ['<div class="scroll"><table id="models-table"><thead><tr><th></th>',
                *(f'<th>{e(title)}<small>{e(note)}</small></th>' for _, title, note in columns), '</tr></thead><tbody>']
        model = None
        for row in rows:
            if row['model'] != model:
                model = row['model']
                text.append(f'<tr class="model"><th colspan="{len(columns) + 1}"><b>{e(model)}</b>{e(ABOUT[model])}</th></tr>')
            of_filch = ' class="filch"' if row['system'].startswith('filch') else ''
            text.append(f'<tr{of_filch}><td>{e(name_of(row["system"]))}</td>')
            text += [timed(row, 'create'), timed(row, 'switch'), timed(row, 'message')]
            text.append(f'<td>{e(bytes_text(row["memory"].median))}</td>' if row['memory'] else self.none('not measured'))
            text.append(timed(row, 'stuck', 1e6))
            text.append(f'<td>{row["processors"]:.2f}</td>' if row['processors'] is not None else self.none('not measured'))
            for key, _, _ in charts.KINDS:
                text.append(f'<td>{self.calls(row[key])}</td>' if row[key] is not None else self.none(row[key + '_why'] or 'not measured'))
            text.append('</tr>')
        text.append('</tbody></table></div>')
        why = sorted({row[key + '_why'] for row in rows for key, _, _ in charts.KINDS} - {''})
        text.append('<p class="soft">Medians. A task that need not wait is one of Java’s fork-join pool, not a thread: so is Java’s creation. '
                    if any(row['system'] == 'java' for row in rows) else '<p class="soft">Medians. ')
        text.append('Processors are CPU time divided by wall time, in the longest run that computes. ')
        text.append('Kernel entries are system calls, counted by strace; below 0.01 is shown as 0. Memory is resident '
                    'memory of the process: a kernel thread has another stack in the kernel, which is not in it.'
                    + (f' A dash where nothing could be counted: {e("; ".join(why))}.' if why else '') + '</p>')
        return '\n'.join(text)

    @staticmethod
    def calls(value):
        return '0' if value < 0.01 else digits(value)

    @staticmethod
    def none(why):
        return f'<td class="none" title="{e(why)}">–</td>'

    def blocked_for(self):
        entry = self.known.entry('stuck', 'filch', self.most)
        return f' of {entry.params["length"]:,} ms' if entry and 'length' in entry.params else ''

    # ---- beside others ----

    def compared(self):
        cards, tables = [], []
        for title, key in self.known.workloads():
            trial = self.known.trials[key]
            entries = {}
            for (workers, system), entry in trial.items():
                if entry.ratio:
                    entries.setdefault(system, {})[workers] = entry
            if not entries:
                continue
            most = max(workers for workers, _ in trial)
            mine = trial.get((most, 'filch'))
            words = [WORKLOADS.get(key[0], '')]
            if mine and mine.status == 'ok':
                each = f' a {mine.unit.partition("/")[2]}' if '/' in mine.unit else ''
                words.append(f'filch {value_text(mine.value.median, mine.unit)}{each}')
            cards.append(self.card(charts.bars, f'bars-{title}', title, '; '.join(word for word in words if word), entries, most))
            tables.append(self.trial_table(title, key, trial))
        if not cards:
            return
        ahead, behind, all_ = self.known.verdicts()
        body = [f'<p>How many times filch’s figure another system takes for the same work: the orange line is filch, a bar to the right takes '
                f'longer, one to the left is faster. The full bar is with {plural(self.most, "worker")}'
                + (', the thin one below it with one' if self.most > 1 else '')
                + '; the dark line across its end is the spread between rounds. The scale is logarithmic. Systems that cannot stand the full size are '
                'compared at theirs, with a filch of the same size.</p>',
                f'<p><b>filch is ahead in {ahead} of {all_} comparisons, behind in {behind}; of {all_ - ahead - behind} one can’t tell</b>, '
                'since the margin is not larger than the spread or there was only one round.</p>',
                self.key({MODELS.get(system, '') for (_, trial) in self.known.trials.items() for _, system in trial}),
                '<div class="cards">', *cards, '</div>',
                '<details><summary>All figures of this section</summary>', *tables, '</details>']
        self.section('compared', 'Beside other runtimes', '\n'.join(body))

    @staticmethod
    def key(models):
        words = {'1:1': '1:1, a kernel thread each', 'N:1': 'N:1, all on one', 'M:N': 'M:N, many on a few', 'no wait': 'tasks that do not wait'}
        return '<ul class="key">' + ''.join(
            f'<li><i style="background: var(--{charts.VARIABLES[charts.OF_MODEL[model]]})"></i>{e(word)}</li>'
            for model, word in words.items() if model in models) + '<li><i style="background: var(--filch)"></i>filch</li></ul>'

    def trial_table(self, title, key, trial):
        params = self.known.trial_params[key]
        text = [f'<h3>{e(title)} <span class="soft">{e(params_text(params))}</span></h3><div class="scroll"><table><thead><tr><th></th>'
                '<th>workers</th><th>median</th><th>from</th><th>to</th><th>× filch</th><th>from</th><th>to</th><th>CPU</th>'
                '<th>peak memory</th><th class="left">filch is</th></tr></thead><tbody>']
        for (workers, system), entry in sorted(trial.items(), key=lambda item: (item[0][0], item[0][1] != 'filch', order_of(item[0][1]))):
            own = {k: v for k, v in entry.params.items() if params.get(k) != v}
            name = e(name_of(system)) + (f' <small class="soft">{e(params_text(own))}</small>' if own else '')
            text.append(f'<tr{" class=filch" if system == "filch" else ""}><td>{name}</td><td>{workers}</td>')
            if entry.status != 'ok' or not entry.value:
                text.append(f'<td class="left" colspan="9">{e(entry.status)}: {e(entry.why)}</td></tr>')
                continue
            text += [f'<td>{e(value_text(value, entry.unit))}</td>' for value in (entry.value.median, entry.value.low, entry.value.high)]
            ratio = entry.ratio
            text += [f'<td>{digits(value)}</td>' for value in (ratio.median, ratio.low, ratio.high)] if ratio else ['<td></td>'] * 3
            text.append(f'<td>{e(time_text(entry.cpu_ms * 1e6))}</td><td>{e(bytes_text(entry.peak_rss))}</td>'
                        f'<td class="left">{e(entry.verdict)}</td></tr>')
        return '\n'.join(text) + '</tbody></table></div>'

    # ---- the rest ----

    def speed_ups(self):
        curves = self.known.speed_ups()
        if not curves:
            return
        body = ['<p>The same work, with one worker and with more: how many times as fast it becomes. The dotted line is as many times as there are '
                'workers. Systems that use one processor only are left out.</p><div class="cards">']
        body += [self.card(charts.speed_up, f'speed-up-{title}', title, WORKLOADS.get(title.split()[0], ''), each) for title, each in curves]
        self.section('speed-up', 'Speed-up', '\n'.join(body) + '</div>')

    def stalls(self):
        stalls = self.known.stalls()
        if not stalls:
            return
        low, high = charts.stall_limits(stalls)
        asked = next(one for key, one in self.known.runs.items() if key[0] == 'stall')['params']
        body = [f'<p>{asked["tasks"]:,} tasks sleep a millisecond again and again. Beside them others stall their kernel threads, without saying so, '
                f'for {asked["stall"]:,} ms at a time. How late do the sleepers wake? A line that stays low is a runtime in which nobody else '
                'notices. Both axes are logarithmic: each nine is as wide as the next.</p><div class="cards">']
        body += [self.card(charts.distribution, f'stall-{kind}', charts.STALLS[kind][0].upper() + charts.STALLS[kind][1:],
                           f'lateness of the others, {plural(self.stall_workers(kind), "worker")}', shapes, low=low, high=high)
                 for kind, shapes in sorted(stalls.items(), key=lambda item: list(charts.STALLS).index(item[0]))]
        self.section('stall', 'When a task stalls', '\n'.join(body) + '</div>')

    def stall_workers(self, kind):
        return next(one['workers'] for key, one in self.known.runs.items() if key[0] == 'stall' and key[3] == kind)

    def lateness(self):
        shapes = self.known.lateness()
        if not shapes:
            return
        entry = self.known.entry('timers', 'filch', self.most)
        asked = f'{entry.params["tasks"]:,} tasks sleep once, for up to {entry.params["longest"]:,} ms. ' if entry else ''
        body = [f'<p>{e(asked)}How late does each wake? Systems that cannot stand so many have fewer.</p><div class="cards">']
        groups = [('1:1', ('1:1',)), ('N:1', ('N:1',)), ('M:N', ('M:N',))]
        low, high = charts.stall_limits({'': shapes})
        mine = [shape for shape in shapes if shape.system == 'filch']
        for model, of in groups:
            some = [shape for shape in shapes if MODELS.get(shape.system) in of and shape.system != 'filch']
            if some:
                body.append(self.card(charts.distribution, f'timers-{model}', f'filch beside {model}', ABOUT[model], some + mine, low=low, high=high))
        if len(body) == 1:
            body.append(self.card(charts.distribution, 'timers', 'filch', '', shapes))
        self.section('timers', 'Timers', '\n'.join(body) + '</div>')

    def servers(self):
        found = self.known.servers()
        if not found:
            return
        body = ['<p>A server on the loopback device, and how long its clients wait for a reply. The loops are as little as one can do with the '
                'kernel’s interfaces, the floor; filch has a task for each connection, Go a goroutine.</p><div class="cards">']
        for bench, unit, figures, shapes in found:
            told = ', '.join(f'{name_of(system)} {digits(value.median)}' for system, value in figures)
            if shapes:
                body.append(self.card(charts.distribution, f'server-{bench}', bench, f'{unit.replace("us", "µs")}: {told}', shapes))
        self.section('servers', 'Servers', '\n'.join(body) + '</div>')

    def machine(self):
        known = self.known
        body = []
        for machine in known.machines:
            body.append('<dl>' + ''.join(f'<dt>{e(word)}</dt><dd>{e(text)}</dd>' for word, text in (
                ('processor', machine.get('cpu') or 'unknown'),
                ('processors', f'{machine["cpus_allowed"]} of {machine["cpus_online"]} to be used'), ('memory', bytes_text(machine['memory_bytes'])),
                ('kernel', machine['kernel']), ('system', machine.get('system') or 'unknown'))) + '</dl>')
        if known.dates:
            first, last = known.dates[0][:10], known.dates[-1][:10]
            body.append(f'<p>Measured on {e(first)}' + (f' to {e(last)}' if first != last else '')
                        + (f', in {known.seconds / 60:.0f} minutes' if known.seconds >= 90 else '') + f'; {plural(known.rounds, "round")}.</p>')
        if known.noise:
            body.append(f'<p>The same program differed by {100 * known.noise["spread"]:.0f} % between rounds (median); others used '
                        f'{100 * known.noise["others"]:.0f} % of the processors meanwhile.</p>')
        if known.versions:
            body.append('<h3>Versions</h3><div class="scroll"><table><thead><tr><th></th><th class="left">model</th>'
                        '<th class="left">version</th></tr></thead><tbody>')
            for system, version in sorted(known.versions.items(), key=lambda item: order_of(item[0])):
                body.append(f'<tr{" class=filch" if system == "filch" else ""}><td>{e(name_of(system))}</td>'
                            f'<td class="left">{e(MODELS.get(system, "–"))}</td><td class="left">{e(version)}</td></tr>')
            body.append('</tbody></table></div>')
        missing = [system for system in PEERS if system not in known.versions] if known.trials else []
        if missing:
            body.append(f'<p class="soft">Not measured here: {e(", ".join(name_of(system) for system in missing))}. '
                        '<code>./tools/setup.sh peers</code> installs what they are built from.</p>')
        if known.failures:
            body.append('<h3>What did not work</h3><pre>' + e('\n'.join(f'{what}: {why}' for what, why in known.failures)) + '</pre>')
        body.append(f'<h3>Commands</h3><details{" open" if len(known.commands) < 6 else ""}><summary>{plural(len(known.commands), "command")}, each of '
                    f'which prints its figures</summary><pre>{e(chr(10).join(known.commands))}</pre></details>')
        self.section('machine', 'Machine, versions, commands', '\n'.join(body))

    # ---- the whole ----

    def tiles(self):
        rows = {row['system']: row for row in self.known.table()}
        mine, tiles = rows.get('filch'), []
        if mine:
            for key, what in (('create', 'to create a task and join it'), ('switch', 'to switch to another task')):
                if mine[key]:
                    thread = rows.get('pthreads', {}).get(key)
                    tiles.append((time_text(mine[key].median), what + (f'; a thread takes {time_text(thread.median)}' if thread else '')))
            if mine['memory']:
                tiles.append((bytes_text(mine['memory'].median), 'for a task that waits, its stack included'))
            if mine['stuck']:
                tiles.append((time_text(mine['stuck'].median * 1e6), f'others are held up, at most, by a blocking call{self.blocked_for()}'))
        ahead, behind, all_ = self.known.verdicts()
        if all_ and ahead + behind:
            tiles.append((f'{ahead} of {all_}', f'comparisons in which filch is ahead; behind in {behind}'))
        if not tiles:
            return ''
        shown = ''.join(f'<div class="tile"><b>{e(figure)}</b><span>{e(what)}</span></div>' for figure, what in tiles)
        return f'<div class="tiles">{shown}</div>'

    def warnings(self):
        known, texts = self.known, []
        if known.quick:
            texts.append('Measured with --quick: small sizes and one round, to see what a page looks like. These figures are no measurement.')
        if known.noise and known.noise.get('noisy'):
            texts.append('This machine was too noisy to tell: other programs were at work, or the same program differed much from round to round. '
                         'Small margins mean nothing here.')
        if len(known.machines) > 1:
            texts.append(f'The figures come from {len(known.machines)} machines; what stands side by side may not be comparable.')
        return ''.join(f'<p class="warn">{e(text)}</p>' for text in texts)

    def html(self):
        known = self.known
        style = (Path(__file__).parent / 'page.css').read_text(encoding='utf-8')
        style = style[style.index('*/') + 2:].strip()
        for word, colours in (('@LIGHT@', charts.LIGHT), ('@DARK@', charts.DARK)):
            style = style.replace(word, ' '.join(f'--{name}: {colour};' for name, colour in colours.items()))
        machine = known.machines[0] if known.machines else None
        under = f'{machine.get("cpu") or "an unknown processor"}, {plural(machine["cpus_allowed"], "CPU")}, {machine["kernel"]}' if machine else ''
        version = known.versions.get('filch', '').partition(',')[0]
        links = ''.join(f'<a href="#{name}">{e(title)}</a>' for name, title, _ in self.sections)
        parts = ''.join(f'<section id="{name}"><h2>{e(title)}</h2>\n{body}\n</section>\n' for name, title, body in self.sections)
        return f'''<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>filch-bench report</title>
<style>
{style}
</style>
</head>
<body>
<header><div>
<h1><b>filch</b> {e(version)}, measured</h1>
<p class="soft" style="margin: 0">{e(under)}{", " + e(known.dates[0][:10]) if known.dates else ""}</p>
{self.warnings()}
{self.tiles()}
</div></header>
<nav aria-label="Sections"><div>{links}</div></nav>
<main>
{parts}
<footer>Made by filch-bench report. Colours follow the reader’s setting, light or dark. Every chart has its figures in words, for
screen readers.</footer>
</main>
</body>
</html>
'''


def pictures(known):
    """File name -> SVG, to stand alone; None where there are no figures for it."""
    rows, stalls = known.table(), known.stalls()
    return {'models.svg': charts.alone(charts.models_picture(rows)) if any(row['create'] for row in rows) else None,
            'stall.svg': charts.alone(charts.stall_picture(stalls)) if stalls else None}
