#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""report.py DRAW FIXTURE [FILCH-BENCH]: the laws of `filch-bench report`. Prints the Test Anything Protocol.

The fixture is what `report --quick --save` has measured once, with some workloads left out. What is read from it needs nothing but Python;
drawing needs Debian's python3-matplotlib; how a page looks is asked of chromium, at the width of a screen and of a telephone, and of
python3-pil. What is not installed is skipped."""

import html
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as tree
from functools import lru_cache
from html.parser import HTMLParser
from pathlib import Path

DEBIANS = '/usr/bin/python3'
if not importlib.util.find_spec('PIL') and os.path.realpath(sys.executable) != os.path.realpath(DEBIANS) and os.access(DEBIANS, os.X_OK):
    os.execv(DEBIANS, [DEBIANS, *sys.argv])  # the one that Debian's packages are for

sys.dont_write_bytecode = True
DRAW, FIXTURE = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
BENCH = sys.argv[3] if len(sys.argv) > 3 else None
sys.path[:0] = [str(DRAW.parent), str(Path(__file__).resolve().parent.parent / 'programs')]
from figures import Figures, Unreadable, digits, time_text, value_text  # noqa: E402
from programs import Skip, check, command, equal, law, run, tool  # noqa: E402

WIDTHS = (1280, 400)
temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name)


def known(*paths):
    figures = Figures()
    for path in paths or (FIXTURE,):
        figures.read(str(path))
    return figures


def raw():
    return json.loads(FIXTURE.read_text())


def outputs(key):
    return [step['output'] for step in raw()['measured'] if key in step.get('output', {})]


def file(name, content):
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


# ---- what is read ----

@law
def models_of_the_table():
    """every system that was measured stands under its model, with the figures that are in the JSON"""
    rows = {row['system']: row for row in known().table()}
    result = outputs('results')[0]
    measured = {system['name'] for system in result['systems']} - {'libgomp', 'libomp', 'tbb'}
    equal(set(rows), measured | {'filch 1:1', 'filch N:1'})
    for word, systems in (('1:1', 'pthreads rust java'), ('N:1', 'pth st'), ('M:N', 'go erlang boost-fiber filch')):
        for system in systems.split():
            equal(rows[system]['model'], word, system)
    flat = next(one for one in result['results'] if one['workload'] == 'flat' and one['workers'] == 1)
    go = next(one for one in flat['entries'] if one['system'] == 'go')
    equal(rows['go']['create'].median, go['value']['median'])
    entries = next(one for step in raw()['measured'] for one in step.get('entries', ()) if (one['system'], one['workload']) == ('pth', 'yield'))
    equal(rows['pth']['entries_switch'], entries['value'])
    threads = next(one for one in outputs('bench') if (one['bench'], one['model']) == ('stuck', '11'))
    equal(rows['filch 1:1']['stuck'].median, threads['median'])
    for system, row in rows.items():
        for key in ('create', 'switch', 'message', 'memory', 'stuck', 'processors', 'entries_create', 'entries_switch', 'entries_message'):
            check(row[key] is not None, f'{system} has no {key}')


@law
def ratios():
    """a ratio is the other's figure divided by filch's, and its spread turns round with it"""
    result = next(one for one in outputs('results')[0]['results'] if one['workload'] == 'fork')
    theirs = next(one for one in result['entries'] if one['system'] == 'go')
    trial = next(trial for (name, _), trial in known().trials.items() if name == 'fork')
    entry = trial[result['workers'], 'go']
    equal(entry.ratio.median, 1 / theirs['ratio']['median'])
    check(entry.ratio.low <= entry.ratio.median <= entry.ratio.high, f'{entry.ratio}')
    theirs['ratio'].update(median=0.5, low=0.25, high=0.8, verdict='ahead')
    other = known(file('ratio.json', {**outputs('results')[0], 'results': [result]}))
    entry = next(iter(other.trials.values()))[result['workers'], 'go']
    equal((entry.ratio.low, entry.ratio.median, entry.ratio.high), (1.25, 2, 4))
    equal(other.verdicts()[0], 1)


@law
def shapes():
    """distributions rise, end with the maximum, and have no point that their samples do not carry"""
    figures = known()
    groups = [*figures.stalls().values(), figures.lateness(), *(shapes for *_, shapes in figures.servers())]
    equal(set(figures.stalls()), {one['params']['kind'] for one in outputs('bench') if one['bench'] == 'stall'})
    equal({shape.system for shape in figures.stalls()['cpu']}, {'filch', 'threads', 'go'})
    for shape in (shape for shapes in groups for shape in shapes):
        equal(shape.points[-1][0], 1, shape.system)
        for (part, value), (after, larger) in zip(shape.points, shape.points[1:]):
            check(part < after and value <= larger, f'{shape.system}: {shape.points}')
            check((1 - part) * shape.samples >= 0.99 or part == 1, f'{shape.system}: {part} of {shape.samples}')


@law
def speed_ups():
    """a speed-up is the time with one worker divided by the time with more; one processor has none"""
    title, curves = next((title, curves) for title, curves in known().speed_ups() if title.startswith('fork'))
    check('filch' in curves and 'pth' not in curves and 'st' not in curves, f'{title}: {list(curves)}')
    (first, one), (last, more) = curves['filch'][0], curves['filch'][-1]
    equal((first, one), (1, 1.0))
    trial = next(trial for (name, _), trial in known().trials.items() if name == 'fork')
    equal(more, trial[1, 'filch'].value.median / trial[last, 'filch'].value.median)


@law
def numbers():
    """three digits that count, with a unit"""
    for value, text in ((0, '0'), (0.01234, '0.0123'), (1, '1.00'), (9.876, '9.88'), (0.9996, '1.00'), (999.7, '1,000'), (123.4, '123'),
                        (12345, '12,345'), (0.0000456, '0.000046')):
        equal(digits(value), text)
    equal([time_text(ns) for ns in (7.2, 1234, 2.5e6, 3e9)], ['7.20 ns', '1.23 µs', '2.50 ms', '3.00 s'])
    equal([value_text(7.2, 'ns/task'), value_text(41, 'ms CPU'), value_text(41, 'ms')], ['7.20 ns', '41.0 ms CPU', '41.0 ms'])


@law
def other_files():
    """lines of run are read, later figures replace earlier ones, what is no figure is named"""
    line = next(one for one in outputs('bench') if one['bench'] == 'stuck')
    figures = known(file('lines.json', f'something else\n{json.dumps(line)}\n{json.dumps({**line, "median": 12345.0})}\n'))
    equal([one['median'] for one in figures.runs.values()], [12345.0])
    for name, content, words in (('empty', '', 'no JSON in it'), ('text', 'nothing', 'no JSON in it'), ('broken', '{"bench": ', 'line 1'),
                                 ('else', '{"a": 1}', 'neither'), ('half', '{"results": [], "systems": []}', "'machine'")):
        try:
            known(file(name, content))
        except Unreadable as why:
            check(words in str(why) and name in str(why), f'{name}: {why}')
        else:
            raise AssertionError(f'{name} was read')
    try:
        known(folder / 'is-not-there')
    except Unreadable as why:
        check('is-not-there' in str(why), str(why))
    else:
        raise AssertionError('a file that is not there was read')


# ---- what filch-bench says of itself ----

@law
def distributions_of_a_run():
    """run --json: distributions beside the percentiles that were there, of --vs too"""
    if not BENCH:
        raise Skip('filch-bench is not built')
    one = json.loads(command(BENCH, 'run', 'timers', '--tasks', 500, '--longest', 30, '--runs', 2, '--json').stdout)
    shape = one['distributions']['lateness_us']
    equal((shape['unit'], shape['samples'], len(shape['percent'])), ('us', 500, len(shape['value'])))
    at = dict(zip(shape['percent'], shape['value']))
    for percent, name in ((50, 'p50'), (99, 'p99'), (100, 'max')):
        check(abs(at[percent] - one['lateness_us'][name]) <= 1e-6 * abs(at[percent]), f'{name}: {at[percent]} and {one["lateness_us"][name]}')
    check(sorted(shape['value']) == shape['value'], f'it falls: {shape}')


@law
def usage_of_report():
    """report: wrong usage ends with 2 and says what is wrong, before anything is measured"""
    if not BENCH:
        raise Skip('filch-bench is not built')
    out = folder / 'usage.html'
    for words in ([], [out, '--measure', 'everything'], [out, '--rounds', '0'], [out, '--what'], [out, '--measure', 'none'], [FIXTURE],
                  ['/nowhere/at-all.html'], [out, folder / 'is-not-there'], [out, FIXTURE, '--pictures', '/nowhere/at-all']):
        check(command(BENCH, 'report', *words, status=2, seconds=20).errors.strip(), f'{words}: no message')
    check(b'--pictures' in command(BENCH, 'report', '--help').stdout, 'no help')
    check(not out.exists(), 'a page was written')


# ---- the page ----

@lru_cache(None)
def can_draw():
    ran = subprocess.run([DRAW, '--check'], capture_output=True, text=True, timeout=60)
    check(ran.returncode == 0 or 'python3-matplotlib' in ran.stderr, f'no word on what is missing: {ran.stderr}')
    return ran.returncode == 0


@lru_cache(None)
def page():
    if not can_draw():
        raise Skip('no python3-matplotlib')
    path = folder / 'page.html'
    command(DRAW, '--pictures', folder, path, FIXTURE, seconds=120)
    return path.read_text()


class Content(HTMLParser):
    """Ids, references, charts with their titles and texts; tags that are not closed as they were opened."""

    VOID = {'meta', 'br', 'hr', 'img', 'input', 'link'}

    def __init__(self, text):
        super().__init__()
        self.ids, self.references, self.outside, self.charts, self.open, self.wrong, self.plain = [], [], [], {}, [], [], ''
        self.feed(text)
        self.wrong += self.open

    def handle_starttag(self, tag, attributes):
        self.handle_startendtag(tag, attributes)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        if tag in ('link', 'script', 'img', 'iframe', 'object'):
            self.outside.append(tag)
        attributes = dict(attributes)
        self.plain += ' '
        for name, value in attributes.items():
            if name == 'id':
                self.ids.append(value)
            elif name in ('href', 'xlink:href', 'src', 'aria-labelledby'):
                self.references += value.split() if name == 'aria-labelledby' else [value[1:]] if value.startswith('#') else []
                if name != 'aria-labelledby' and not value.startswith('#'):
                    self.outside.append(value)
            for reference in re.findall(r'url\(([^)]*)\)', value or ''):
                (self.references if reference.startswith('#') else self.outside).append(reference.lstrip('#'))
        if tag == 'svg':
            self.charts[attributes['id']] = {'label': attributes.get('role') == 'img', 'texts': 0, 'title': ''}

    def handle_endtag(self, tag):
        if self.open and self.open[-1] == tag:
            self.open.pop()
        else:
            self.wrong.append(tag)

    def handle_data(self, data):
        self.plain += data
        if 'svg' in self.open and self.open[-1] in ('text', 'title'):
            chart = self.charts[list(self.charts)[-1]]
            if self.open[-1] == 'title':
                chart['title'] += data
            elif data.strip():
                chart['texts'] += 1


def expected_charts():
    figures = known()
    from figures import slug
    wanted = {'model-create', 'model-switch', 'model-message', 'model-stuck', 'model-entries', 'memory'}
    wanted |= {slug(f'bars-{title}') for title, _ in figures.workloads()}
    wanted |= {slug(f'speed-up-{title}') for title, _ in figures.speed_ups()}
    wanted |= {f'stall-{kind}' for kind in figures.stalls()}
    wanted |= {slug(f'timers-{model}') for model in ('1:1', 'N:1', 'M:N')}
    return wanted | {f'server-{server[0]}' for server in figures.servers()}


@law
def charts_of_the_page():
    """the page has every chart, with a title, in words, and text that is text"""
    content = Content(page())
    equal(set(content.charts), expected_charts())
    check(len(content.charts) > 15, f'only {len(content.charts)} charts')
    for name, chart in content.charts.items():
        check(chart['label'] and chart['title'] and chart['texts'] >= 3, f'{name}: {chart}')


@law
def stands_alone():
    """nothing comes from outside, ids are there once, references lead somewhere, tags are closed"""
    content = Content(page())
    equal(content.outside, [])
    equal(content.wrong, [])
    equal(sorted(one for one in set(content.ids) if content.ids.count(one) > 1), [])
    equal(sorted(set(content.references) - set(content.ids)), [])
    check('@import' not in page() and not re.search(r'(?<!xmlns=")(?<!xmlns:xlink=")https?://', page()), 'there is an address in it')
    check(not re.search(r'var\(--(?!filch|one|many|hybrid|plain|other|ink|soft|grid|paper|back)', page()) and '#0101' not in page(),
          'a colour was not replaced')


@law
def says_what_was_measured():
    """machine, versions, commands, the warning of --quick, and every system's name are in the text"""
    plain = Content(page()).plain
    report = raw()
    for word in (report['machine']['kernel'], 'no measurement', 'GNU Pth', 'State Threads', 'Erlang',
                 *(system['version'] for system in report['systems']), *(step['command'] for step in report['measured'] if 'command' in step)):
        check(word in plain, f'{word!r} is not in the page')


@law
def names_are_text():
    """what comes from a file is text, whatever is in it"""
    if not can_draw():
        raise Skip('no python3-matplotlib')
    evil = raw()
    evil['machine']['cpu'] = '<script>alert(1)</script> & co'
    for output in (step['output'] for step in evil['measured'] if 'results' in step.get('output', {})):
        output['systems'][1]['version'] = '"><img src=x>$\\frac{1}{2}$'
    command(DRAW, folder / 'evil.html', file('evil.json', evil), seconds=120)
    content = Content((folder / 'evil.html').read_text())
    equal((content.outside, content.wrong), ([], []))
    check('<script>alert(1)</script> & co' in content.plain, 'the name is gone')


@law
def pictures():
    """--pictures: two SVG files that stand alone, with a title and no variable"""
    page()
    for name, words in (('models.svg', ('filch', 'pthreads', 'M:N')), ('stall.svg', ('filch', 'Go', 'max'))):
        text = (folder / name).read_text()
        root = tree.fromstring(text)
        equal(root.tag, '{http://www.w3.org/2000/svg}svg')
        check(float(root.get('width')) > 300 and root.find('{http://www.w3.org/2000/svg}title').text, name)
        check('var(' not in text and '#0101' not in text and len(text) < 100_000, f'{name}: {len(text)} bytes')
        shown = ' '.join(root.itertext())
        for word in words:
            check(word in shown, f'{name} has no {word}')


@law
def wrong_files_make_no_page():
    """a file that cannot be read is named, and the page that was there stays"""
    if not can_draw():
        raise Skip('no python3-matplotlib')
    out = folder / 'stays.html'
    out.write_text('before')
    errors = command(DRAW, out, file('empty.json', ''), status=1).errors
    check('empty.json' in errors and 'Traceback' not in errors, errors)
    equal(out.read_text(), 'before')


@law
def a_page_of_few_figures():
    """one run, or a comparison of two systems with one worker, is enough for a page"""
    if not can_draw():
        raise Skip('no python3-matplotlib')
    stall = next(one for one in outputs('bench') if one['bench'] == 'stall')
    command(DRAW, folder / 'few.html', file('stall.json', stall))
    equal(set(Content((folder / 'few.html').read_text()).charts), {f'stall-{stall["params"]["kind"]}'})
    result = outputs('results')[0]
    result['results'] = [one for one in result['results'] if one['workload'] == 'fork' and one['workers'] == 1]
    for one in result['results']:
        one['entries'] = [entry for entry in one['entries'] if entry['system'] in ('filch', 'tbb')]
    command(DRAW, folder / 'few.html', file('fork.json', result))
    equal(set(Content((folder / 'few.html').read_text()).charts), {'bars-fork'})


# ---- how it looks ----

MEASURE = '''
<pre id="measured"></pre>
<script>
frame.onload = () => {
  const doc = frame.contentDocument, box = element => element.getBoundingClientRect(), found = {charts: [], wide: []};
  frame.style.height = doc.documentElement.scrollHeight + 'px';
  found.inner = frame.contentWindow.innerWidth;
  found.scroll = doc.documentElement.scrollWidth;
  found.height = doc.documentElement.scrollHeight;
  for (const chart of doc.querySelectorAll('svg.chart')) {
    const r = box(chart), card = box(chart.closest('figure')), scale = r.width / chart.viewBox.baseVal.width, outside = [], boxes = [], over = [];
    let smallest = 1000;
    for (const text of chart.querySelectorAll('text')) {
      const t = box(text);
      smallest = Math.min(smallest, parseFloat(getComputedStyle(text).fontSize) * scale);
      if (t.left < card.left || t.right > card.right || t.top < card.top || t.bottom > card.bottom) outside.push(text.textContent);
      for (const [other, o] of boxes)
        if (t.left + 2 < o.right && o.left + 2 < t.right && t.top + 3 < o.bottom && o.top + 3 < t.bottom)
          over.push(other + ' over ' + text.textContent);
      boxes.push([text.textContent, t]);
    }
    found.charts.push({id: chart.id, left: r.left, right: r.right, top: r.top, bottom: r.bottom, smallest, outside, over});
  }
  for (const element of doc.querySelectorAll('body *'))
    if (!element.closest('.scroll, nav, svg') && box(element).right > found.inner + 0.5) found.wide.push(element.tagName);
  measured.textContent = JSON.stringify(found);
};
</script>'''


def browser(*words):
    """Headless Chromium with a profile of its own."""
    program = tool('chromium')
    with tempfile.TemporaryDirectory() as profile:
        return command(program, '--headless', '--no-sandbox', '--disable-gpu', '--hide-scrollbars', f'--user-data-dir={profile}',
                       '--force-device-scale-factor=1', '--virtual-time-budget=5000', *words, seconds=180).stdout.decode(errors='replace')


def framed(text, width, height=1000, more=''):
    """A window is never narrower than 500 pixels; a frame in it is."""
    return (f'<!DOCTYPE html><html><body style="margin: 0"><iframe id="frame" style="width: {width}px; height: {height}px; border: 0" '
            f'srcdoc="{html.escape(text)}"></iframe>{more}</body></html>')


def measured(text, width):
    dump = browser('--window-size=1400,1000', '--dump-dom', file('measure.html', framed(text, width, more=MEASURE)).as_uri())
    found = re.search(r'<pre id="measured">(.*?)</pre>', dump, re.S)
    check(found and found[1], f'nothing was measured: {dump[-300:]}')
    return json.loads(html.unescape(found[1]))


@lru_cache(None)
def measured_page(width):
    tool('chromium')
    return measured(page(), width)


def too_wide(found, width):
    return found['inner'] != width or found['scroll'] > width or found['wide']


@law
def fits():
    """at 1280 and at 400 pixels nothing is wider than the window, every chart is inside its card, and text is apart and large enough to read"""
    for width in WIDTHS:
        found = measured_page(width)
        check(not too_wide(found, width), f'{width}: {found["inner"]}, {found["scroll"]}, {found["wide"][:9]}')
        equal({chart['id'] for chart in found['charts']}, expected_charts())
        for chart in found['charts']:
            check(chart['right'] - chart['left'] > 300 and chart['bottom'] - chart['top'] > 80, f'{width}: {chart}')
            check(chart['smallest'] >= 8.5, f'{width}: {chart["id"]} has text of {chart["smallest"]} pixels')
            equal(chart['outside'], [], f'{width}: text of {chart["id"]} outside its card')
            equal(chart['over'], [], f'{width}: text of {chart["id"]} over other text')
    check(len({chart['left'] for chart in measured_page(1280)['charts']}) >= 3, 'a wide window has no three charts side by side')
    equal(len({chart['left'] for chart in measured_page(400)['charts']}), 1, 'columns on a telephone')


@law
def would_be_seen_if_too_wide():
    """what is too wide is found"""
    tool('chromium')
    wide = page().replace('</main>', '<div style="width: 700px">wide</div></main>')
    check(too_wide(measured(wide, 400), 400), 'it was not')


def empty_charts(text, width):
    """The charts of which a picture shows next to nothing, or everything in one colour."""
    try:
        from PIL import Image
    except ImportError as why:
        raise Skip('no python3-pil') from why
    found = measured_page(width)
    height, shot, empty = round(found['height']), folder / 'shot.png', []
    browser(f'--window-size={max(width, 500)},{height}', f'--screenshot={shot}', file('shot.html', framed(text, width, height)).as_uri())
    image = Image.open(shot).convert('RGB')
    check(image.width >= width and image.height >= height, f'the picture has {image.size}')
    for chart in found['charts']:
        part = image.crop(tuple(round(chart[side]) for side in ('left', 'top', 'right', 'bottom')))
        colours = sorted(part.getcolors(part.width * part.height), reverse=True)
        drawn = 1 - colours[0][0] / (part.width * part.height)
        orange = sum(count for count, (r, g, b) in colours if r > 190 and 60 < g < 130 and b < 60)
        if not 0.02 < drawn < 0.7 or len(colours) < 20 or orange < 20:
            empty.append(chart['id'])
    return empty


@law
def is_drawn():
    """a screenshot shows something in every chart, and filch's colour, at both widths"""
    for width in WIDTHS:
        equal(empty_charts(page(), width), [], f'at {width} pixels')


@law
def would_be_seen_if_empty():
    """a chart that is not drawn is found"""
    tool('chromium')
    hidden = page().replace('</style>', 'svg.chart > g { visibility: hidden; }</style>', 1)
    equal(set(empty_charts(hidden, 1280)), expected_charts())


run()
