# SPDX-License-Identifier: MIT
"""The charts of a report, drawn by matplotlib as SVG to stand in a page.

All are as wide as a telephone's screen, so that a page puts as many side by side as there is room for, and text keeps its size. It stays
text: it can be searched and takes the page's font. Colours are drawn as numbers that nobody would choose, and replaced afterwards: in a
page by its variables, so that it can be light or dark, in a picture that stands alone by colours.

The palette is that of Okabe and Ito, which colour-blind people can tell apart; filch is also bold, and models have marks of their own."""

import html
import io
import math
import re

import matplotlib

matplotlib.use('svg')

from matplotlib import pyplot
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

import figures
from figures import MODELS, bytes_text, digits, name_of, time_text

WIDTH = 346  # units of an SVG: pixels where it is shown in its own size
FILCH, ONE, MANY, HYBRID, PLAIN, OTHER, INK, SOFT, GRID, PAPER = (f'#0101{number:02x}' for number in range(1, 11))
VARIABLES = {FILCH: 'filch', ONE: 'one', MANY: 'many', HYBRID: 'hybrid', PLAIN: 'plain', OTHER: 'other', INK: 'ink', SOFT: 'soft',
             GRID: 'grid', PAPER: 'paper'}
LIGHT = {'filch': '#d55e00', 'one': '#0072b2', 'many': '#b98500', 'hybrid': '#009e73', 'plain': '#b0568f', 'other': '#666666',
         'ink': '#1c1c1e', 'soft': '#5c5c63', 'grid': '#dcdce1', 'paper': '#ffffff'}
DARK = {'filch': '#ff8a3c', 'one': '#58b4ee', 'many': '#f0b93a', 'hybrid': '#35cfa2', 'plain': '#e294c2', 'other': '#a0a0a8',
        'ink': '#f0f0f2', 'soft': '#a6a6af', 'grid': '#3a3a42', 'paper': '#1d1d22'}
OF_MODEL = {'1:1': ONE, 'N:1': MANY, 'M:N': HYBRID, 'no wait': PLAIN, 'loop': OTHER}
MARKS = {'1:1': 's', 'N:1': '^', 'M:N': 'o', 'no wait': 'D', 'loop': 'v'}
LEADER = {'arrowstyle': '-', 'color': GRID, 'linewidth': 0.8, 'shrinkA': 1, 'shrinkB': 5}  # from a name to the end of its line
DASHES = ['-', (0, (4, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.5, 1.2, 1.5))]

matplotlib.rcParams.update({
    'svg.fonttype': 'none', 'svg.hashsalt': 'filch', 'font.family': 'DejaVu Sans', 'font.size': 10.5, 'text.color': INK,
    'axes.edgecolor': GRID, 'axes.labelcolor': SOFT, 'axes.labelsize': 10, 'axes.linewidth': 1, 'axes.spines.top': False,
    'axes.spines.right': False, 'axes.axisbelow': True, 'xtick.color': SOFT, 'ytick.color': INK, 'xtick.labelsize': 10,
    'ytick.labelsize': 10.5, 'xtick.major.size': 0, 'ytick.major.size': 0, 'xtick.minor.size': 0, 'ytick.minor.size': 0,
    'grid.color': GRID, 'grid.linewidth': 0.8, 'figure.facecolor': 'none', 'axes.facecolor': 'none', 'savefig.facecolor': 'none',
    'lines.linewidth': 1.8, 'lines.solid_capstyle': 'round', 'hatch.linewidth': 0.6, 'text.parse_math': False,
})


def colour_of(system):
    return FILCH if system.startswith('filch') else OF_MODEL.get(MODELS.get(system), OTHER)


def mark_of(system):
    return MARKS.get(MODELS.get(system), 'D')


def dash_of(system):
    """Systems of one model differ in how their line is broken."""
    same = [one for one in figures.ORDER if MODELS[one] == MODELS.get(system) and not one.startswith('filch')]
    return DASHES[same.index(system) % len(DASHES)] if system in same else DASHES[0]


def figure_of(height, left=104, right=12, top=8, bottom=26, width=WIDTH):
    """An empty chart of so many units, with these margins."""
    figure = pyplot.figure(figsize=(width / 72, height / 72), dpi=72)
    axes = figure.add_axes([left / width, bottom / height, (width - left - right) / width, (height - top - bottom) / height])
    return figure, axes


def svg_of(figure, name, title, text):
    """The SVG to be put into a page: ids of its own, words instead of colours, and what it shows for those who cannot see it."""
    out = io.StringIO()
    figure.savefig(out, format='svg', metadata={'Date': None, 'Creator': None, 'Format': None, 'Type': None})
    pyplot.close(figure)
    svg = out.getvalue()
    view = re.search(r'viewBox="([^"]*)"', svg).group(1)
    body = svg[svg.index('>', svg.index('<svg')) + 1:]
    body = re.sub(r'<metadata>.*?</metadata>', '', body, flags=re.S)
    body = re.sub(r'<!--.*?-->', '', body, flags=re.S)
    body = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', body)
    body = re.sub(r'(href="|url\()#', rf'\1#{name}-', body)
    # the page has the font; sizes stay
    body = re.sub(r'font: (?:(bold|\d+) )?([\d.]+)px [^;"]*', lambda m: (f'font-weight: {m[1]}; ' if m[1] else '') + f'font-size: {m[2]}px', body)
    for drawn, variable in VARIABLES.items():
        body = body.replace(drawn, f'var(--{variable})')
    body = re.sub(r'\n\s*', '\n', body).strip()
    return (f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" class="chart" id="{name}" viewBox="{view}" '
            f'role="img" aria-labelledby="{name}-title {name}-desc">\n<title id="{name}-title">{html.escape(title)}</title>\n'
            f'<desc id="{name}-desc">{html.escape(text)}</desc>\n{body}')


def alone(svg):
    """The same to stand in a file of its own, on white."""
    width, height = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg).groups()
    svg = re.sub(r'var\(--(\w+)\)', lambda m: LIGHT[m[1]], svg)
    paper = (f'<rect width="100%" height="100%" rx="6" style="fill: {LIGHT["paper"]}"/>')
    svg = svg.replace('class="chart"', f'width="{width}" height="{height}" font-family="\'DejaVu Sans\', Verdana, \'Helvetica Neue\', '
                      'Arial, sans-serif"', 1)
    return svg.replace('</desc>', f'</desc>\n{paper}', 1) + '\n'


# ---- scales ----

def round_numbers(low, high, words, most=5):
    """Powers of ten between limits, or of four where bytes are counted; not more than so many."""
    base = 4.0 if words is bytes_text else 10.0
    first, last = math.ceil(math.log(low, base) - 1e-9), math.floor(math.log(high, base) + 1e-9)
    step = max(1, math.ceil((last - first + 1) / most))
    return [base ** exponent for exponent in range(first, last + 1) if exponent % step == 0]


def tick_text(text):
    """A round number without zeros behind the point: 1.00 µs is 1 µs."""
    return re.sub(r'(\d)\.0+( |$)', r'\1\2', text)


def log_axis(axes, which, low, high, words, most=5):
    axes.set(**{f'{which}scale': 'log'})
    axis = getattr(axes, f'{which}axis')
    axis.set_major_locator(FixedLocator(round_numbers(low, high, words, most)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: tick_text(words(value))))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def names_down(axes, systems):
    """A row each, from the top; filch is bold."""
    axes.set_ylim(len(systems) - 0.4, -0.6)
    axes.set_yticks(range(len(systems)), [name_of(system) for system in systems])
    for label, system in zip(axes.get_yticklabels(), systems):
        if system.startswith('filch'):
            label.set_fontweight('bold')
    axes.spines['left'].set_visible(False)


def spread_out(places, gap, low, high):
    """Moves what lies too close apart, in order, within limits."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    moved = list(places)
    for before, i in zip(order, order[1:]):
        moved[i] = max(moved[i], moved[before] + gap)
    if order and moved[order[-1]] > high:
        moved[order[-1]] = high
        for i, after in zip(order[-2::-1], order[:0:-1]):
            moved[i] = min(moved[i], moved[after] - gap)
    return [max(low, place) for place in moved]


# ---- charts ----

def dots(name, title, rows, words, note='', axes=None, names=True):
    """A dot a system on a logarithmic axis, with its figure behind it. rows: (system, Summary)."""
    systems = [system for system, _ in rows]
    figure = None
    if axes is None:
        figure, axes = figure_of(22 * len(rows) + 34)
    values = [max(summary.median, 1e-3) for _, summary in rows]
    low, high = min(values) / 1.6, max(values) * 2
    high *= (high / low) ** 0.32  # room for the figures
    log_axis(axes, 'x', low, high, words)
    axes.set_xlim(low, high)
    names_down(axes, systems)
    if not names:
        axes.set_yticklabels([])
    axes.grid(axis='x')
    axes.spines['bottom'].set_visible(False)
    for place, (system, summary) in enumerate(rows):
        colour, value = colour_of(system), max(summary.median, 1e-3)
        axes.plot([low, value], [place, place], color=GRID, linewidth=1, zorder=1)
        axes.plot([max(summary.low, 1e-3), max(summary.high, 1e-3)], [place, place], color=colour, linewidth=2.4, alpha=0.45, zorder=2)
        axes.plot([value], [place], mark_of(system), color=colour, markersize=7, zorder=3)
        axes.annotate(words(summary.median), (max(value, summary.high), place), (8, 0), textcoords='offset points', va='center',
                      fontsize=10, fontweight='bold' if system.startswith('filch') else 'normal')
    if figure is None:
        return None
    text = '; '.join(f'{name_of(system)} {words(summary.median)}' for system, summary in rows)
    return svg_of(figure, name, title, f'{note} {text}.'.strip())


def times_text(value):
    return f'{value:g}×' if value < 1e4 else f'10{"⁴⁵⁶⁷⁸⁹"[min(9, round(math.log10(value))) - 4]}×'


def bars(name, title, entries, most):
    """How many times filch's figure each system takes: bars from 1, on a logarithmic axis; full with all workers, thin with one.
    entries: system -> {workers: Entry}, without filch."""
    def last(system):
        counts = entries[system]
        return counts[max(counts)].ratio.median

    systems = sorted(entries, key=last)
    figure, axes = figure_of(27 * len(systems) + 34, top=6)
    ratios = [entry.ratio for counts in entries.values() for entry in counts.values()]
    low, high = min(0.8, min(ratio.low for ratio in ratios)), max(1.25, max(ratio.high for ratio in ratios))
    span = math.log(high / low)
    low, high = low * math.exp(-0.06 * span - (0.22 * span if low < 0.8 else 0)), high * math.exp(0.36 * span)
    log_axis(axes, 'x', low, high, times_text)
    if high / low < 30:
        ticks = [tick for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20) if low <= tick <= high]
        axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.set_xlim(low, high)
    names_down(axes, systems)
    axes.grid(axis='x')
    axes.spines['bottom'].set_visible(False)
    texts = []
    for place, system in enumerate(systems):
        counts = entries[system]
        colour = colour_of(system)
        for workers, entry in sorted(counts.items()):
            ratio = entry.ratio
            full = workers == most or len(counts) == 1
            height, at = (0.42, place - 0.1) if full else (0.2, place + 0.27)
            if not full and workers != 1:
                continue
            axes.fill_betweenx([at - height / 2, at + height / 2], 1, ratio.median, color=colour, alpha=0.92 if full else 0.5, linewidth=0,
                               zorder=2)
            axes.plot([ratio.low, ratio.high], [at, at], color=INK, linewidth=1.1, alpha=0.75, zorder=4, solid_capstyle='butt')
            if full:
                axes.annotate(f'{digits(ratio.median)}×', (max(1, ratio.high, ratio.median), at), (5, 0), textcoords='offset points',
                              va='center', fontsize=10)
            texts.append(f'{name_of(system)} with {workers} {"worker" if workers == 1 else "workers"} {digits(ratio.median)} times')
    axes.axvline(1, color=FILCH, linewidth=2, zorder=3)
    return svg_of(figure, name, title, f'Figure of each system divided by filch\'s, below 1 is better than filch: {"; ".join(texts)}.')


def speed_up(name, title, curves):
    """Time with one worker / time with so many."""
    figure, axes = figure_of(208, left=34, right=98, top=12, bottom=36)
    counts = sorted({workers for curve in curves.values() for workers, _ in curve})
    highest = max(max(value for _, value in curve) for curve in curves.values())
    top = max(highest, counts[-1]) * 1.08
    if len(counts) > 3:
        axes.set_xscale('log', base=2)
        axes.set_yscale('log', base=2)
        axes.yaxis.set_major_locator(FixedLocator([2.0 ** e for e in range(-1, 12) if 2.0 ** e <= top]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:g}×'))
        bottom = min(0.5, min(value for curve in curves.values() for _, value in curve)) / 1.1
    else:
        bottom = 0
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:g}×'))
    axes.xaxis.set_major_locator(FixedLocator(counts))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:g}'))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_locator(NullLocator())
    axes.tick_params(axis='y', labelcolor=SOFT, labelsize=10)
    axes.set_xlabel('workers')
    axes.tick_params(axis='x', pad=7)
    axes.set_xlim(counts[0], counts[-1])
    axes.set_ylim(bottom, top)
    axes.grid(axis='y')
    axes.spines['left'].set_visible(False)
    axes.plot(counts, counts, color=SOFT, linewidth=1, linestyle=(0, (2, 2)), zorder=1)
    systems = sorted(curves, key=lambda system: (system == 'filch', figures.order_of(system)))
    transform = axes.transData
    ends = []
    for system in systems:
        xs, ys = zip(*curves[system])
        strong = system == 'filch'
        axes.plot(xs, ys, color=colour_of(system), linestyle=dash_of(system), linewidth=3 if strong else 1.6, marker=mark_of(system),
                  markersize=6 if strong else 4.5, zorder=5 if strong else 3, clip_on=False)
        ends.append(transform.transform((xs[-1], ys[-1]))[1])
    ends.append(transform.transform((counts[-1], counts[-1]))[1])
    for place, end, system in zip(spread_out(ends, 12.5, 20, 200), ends, systems + [None]):
        if system is None:
            axes.annotate('ideal', (counts[-1], counts[-1]), (14, place - end), textcoords='offset points', va='center', fontsize=9.5,
                          color=SOFT, annotation_clip=False, arrowprops=LEADER)
            continue
        value = curves[system][-1]
        axes.annotate(name_of(system), value, (14, place - end), textcoords='offset points', va='center', fontsize=9.5,
                      color=colour_of(system), fontweight='bold' if system == 'filch' else 'normal', annotation_clip=False, arrowprops=LEADER)
    text = '; '.join(f'{name_of(s)} {digits(curves[s][-1][1])} times as fast with {curves[s][-1][0]} workers as with one' for s in systems)
    return svg_of(figure, name, title, f'{text}.')


def place_of(part, samples):
    """On an axis on which each nine is as wide as the next: 0.9, 0.99, 0.999."""
    return math.log10(samples) if part >= 1 else -math.log10(1 - part)


def distribution(name, title, shapes, note='', low=None, high=None, axes=None, labels=True):
    """How late, up to which part of all: the further up and left a line rises, the more often somebody is late."""
    figure = None
    if axes is None:
        longest = max(len(name_of(shape.system)) for shape in shapes)
        figure, axes = figure_of(230, left=52, right=24 + 6.6 * longest, top=12, bottom=40)
    floor_ = 0.5  # us: what is less is drawn as that
    every = [max(value, floor_) for shape in shapes for part, value in shape.points if part >= 0.3]
    low, high = low or min(every) / 1.5, high or max(every) * 1.5
    log_axis(axes, 'y', low, high, lambda us: time_text(us * 1e3))
    axes.set_ylim(low, high)
    furthest = max(place_of(shape.points[-1][0], shape.samples) for shape in shapes)
    start = place_of(0.3, 1)
    axes.set_xlim(start, furthest)
    ticks = [(0.5, '50 %'), (0.99, '99 %'), (0.9, '90 %'), (0.999, '99.9 %'), (0.9999, '99.99 %')]
    per_nine = axes.bbox.width / (furthest - start)
    shown = [(furthest, 'max')]
    for part, word in ticks:  # what finds room between those that are there
        if all(abs(place_of(part, 1) - at) * per_nine > 3.3 * (len(word) + len(other)) for at, other in shown):
            shown.append((place_of(part, 1), word))
    axes.xaxis.set_major_locator(FixedLocator([at for at, _ in sorted(shown)]))
    axes.set_xticklabels([word for _, word in sorted(shown)], fontsize=9.5)
    axes.tick_params(axis='y', labelcolor=SOFT, labelsize=10)
    axes.grid(axis='both')
    axes.spines['left'].set_visible(False)
    axes.set_xlabel('of all were at most so late')
    ordered = sorted(shapes, key=lambda shape: (shape.system == 'filch', figures.order_of(shape.system)))
    ends = []
    for shape in ordered:
        points = [(place_of(part, shape.samples), max(value, floor_)) for part, value in shape.points]
        strong, few = shape.system == 'filch', len(points) < 5
        xs, ys = zip(*points)
        axes.plot(xs, ys, color=colour_of(shape.system), linestyle=dash_of(shape.system), linewidth=2.8 if strong else 1.6,
                  zorder=5 if strong else 3, marker=mark_of(shape.system) if few else None, markersize=4.5)
        ends.append(axes.transData.transform((xs[-1], ys[-1]))[1])
    height = axes.figure.bbox.height
    for place, end, shape in zip(spread_out(ends, 13, 36, height - 8), ends, ordered):
        at = place_of(shape.points[-1][0], shape.samples), max(shape.points[-1][1], floor_)
        if labels:
            axes.annotate(name_of(shape.system), at, ((furthest - at[0]) * per_nine + 14, place - end), textcoords='offset points', va='center',
                          fontsize=10, color=colour_of(shape.system), fontweight='bold' if shape.system == 'filch' else 'normal',
                          annotation_clip=False, arrowprops=LEADER)
    if figure is None:
        return None
    told = []
    for shape in ordered:
        known = dict(shape.points)
        told.append(f'{name_of(shape.system)}: ' + ', '.join(
            f'{word} {time_text(known[part] * 1e3)}' for part, word in ((0.5, 'half at most'), (0.99, '99 % at most'), (1, 'the latest'))
            if part in known))
    return svg_of(figure, name, title, f'{note} {"; ".join(told)}.'.strip())


def memory(name, title, rows):
    """Bytes of a task that waits: bars from nothing."""
    rows = sorted(rows, key=lambda row: row[1].median)
    systems = [system for system, _ in rows]
    figure, axes = figure_of(24 * len(rows) + 34)
    high = max(summary.median for _, summary in rows)
    axes.set_xlim(0, high * 1.36)
    names_down(axes, systems)
    axes.grid(axis='x')
    axes.spines['bottom'].set_visible(False)
    step = 1024 * 2 ** max(0, math.ceil(math.log2(high / 1024 / 4)))
    axes.xaxis.set_major_locator(FixedLocator([step * i for i in range(int(high * 1.2 / step) + 1)]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value / 1024:g} KiB' if value else '0'))
    for place, (system, summary) in enumerate(rows):
        axes.barh(place, summary.median, height=0.56, color=colour_of(system), alpha=0.92, zorder=2)
        axes.plot([summary.low, summary.high], [place, place], color=INK, linewidth=1.1, alpha=0.75, zorder=4, solid_capstyle='butt')
        axes.annotate(bytes_text(summary.median), (max(summary.median, summary.high), place), (5, 0), textcoords='offset points',
                      va='center', fontsize=10, fontweight='bold' if system.startswith('filch') else 'normal')
    text = '; '.join(f'{name_of(system)} {bytes_text(summary.median)}' for system, summary in rows)
    return svg_of(figure, name, title, f'{text}.')


KINDS = (('entries_create', 'a task', 's'), ('entries_switch', 'a switch', 'o'), ('entries_message', 'a message there and back', '^'))


def kernel_entries(name, title, rows):
    """System calls for three operations: three marks a system, on an axis that begins at none."""
    rows = [row for row in rows if any(row[key] is not None for key, _, _ in KINDS)]
    systems = [row['system'] for row in rows]
    figure, axes = figure_of(24 * len(rows) + 62, top=34)
    high = max(row[key] or 0 for row in rows for key, _, _ in KINDS)
    axes.set_xscale('symlog', linthresh=1, linscale=0.7)
    axes.set_xlim(-0.08, max(high * 1.6, 2))
    ticks = [0, 1] + [10 ** e for e in range(1, 5) if 10 ** e < high * 1.6]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: 'none' if value == 0 else f'{value:g}'))
    axes.xaxis.set_minor_locator(NullLocator())
    names_down(axes, systems)
    axes.grid(axis='x')
    axes.spines['bottom'].set_visible(False)
    told = []
    for place, row in enumerate(rows):
        axes.axhline(place, color=GRID, linewidth=0.8, zorder=1)
        for (key, _, mark), shift in zip(KINDS, (-0.2, 0, 0.2)):
            if row[key] is not None:
                axes.plot([max(row[key], 0)], [place + shift], mark, color=colour_of(row['system']), markersize=5.5, zorder=3, clip_on=False)
        told.append(name_of(row['system']) + ' ' + ', '.join(f'{digits(max(row[key], 0))} for {what}' for key, what, _ in KINDS
                                                            if row[key] is not None))
    for (_, what, mark), at in zip(KINDS, (6, 74, 150)):
        axes.plot([at / WIDTH], [1 - 11 / figure.bbox.height], mark, color=SOFT, markersize=5.5, transform=figure.transFigure, clip_on=False)
        axes.text((at + 9) / WIDTH, 1 - 11 / figure.bbox.height, what, transform=figure.transFigure, va='center', fontsize=10, color=SOFT)
    return svg_of(figure, name, title, '; '.join(told) + '.')


# ---- pictures: several charts in one, to stand alone ----

def models_picture(rows):
    """Creation, switch, memory and a blocking call, side by side."""
    panels = [(key, word, words) for key, word, words in (
        ('create', 'create and join a task', time_text), ('switch', 'switch to the next', time_text),
        ('memory', 'memory of a waiting one', bytes_text), ('stuck', 'others held up by a blocking call', lambda ms: time_text(ms * 1e6)))
        if any(row[key] for row in rows)]
    systems = [row['system'] for row in rows]
    left, gap, panel, top, bottom = 104, 14, 196, 52, 30
    width, height = left + len(panels) * (panel + gap), top + 22 * len(systems) + bottom
    figure = pyplot.figure(figsize=(width / 72, height / 72), dpi=72)
    told = []
    for i, (key, word, words) in enumerate(panels):
        axes = figure.add_axes([(left + i * (panel + gap)) / width, bottom / height, panel / width, (height - top - bottom) / height])
        values = [row[key].median for row in rows if row[key]]
        low, high = min(values) / 1.6, max(values) * 2
        high *= (high / low) ** 0.45
        log_axis(axes, 'x', low, high, words, 3)
        axes.set_xlim(low, high)
        names_down(axes, systems)
        if i:
            axes.set_yticklabels([])
        axes.grid(axis='x')
        axes.spines['bottom'].set_visible(False)
        axes.text(0, 1 + 12 / (height - top - bottom), word, transform=axes.transAxes, fontsize=11, fontweight='bold')
        for place, row in enumerate(rows):
            summary, system = row[key], row['system']
            if not summary:
                axes.text(low, place, ' –', va='center', color=SOFT)
                continue
            axes.plot([low, summary.median], [place, place], color=GRID, linewidth=1, zorder=1)
            axes.plot([summary.median], [place], mark_of(system), color=colour_of(system), markersize=7, zorder=3)
            axes.annotate(words(summary.median), (summary.median, place), (8, 0), textcoords='offset points', va='center', fontsize=10,
                          fontweight='bold' if system.startswith('filch') else 'normal')
        told.append(f'{word}: ' + ', '.join(f'{name_of(row["system"])} {words(row[key].median)}' for row in rows if row[key]))
    at = left
    for model, word in (('1:1', '1:1, a kernel thread each'), ('N:1', 'N:1, all on one thread'), ('M:N', 'M:N, many on a few')):
        axes.plot([at / width + 4 / width], [1 - 16 / height], MARKS[model], color=OF_MODEL[model], markersize=7,
                  transform=figure.transFigure, clip_on=False)
        axes.text((at + 14) / width, 1 - 16 / height, word, transform=figure.transFigure, va='center', fontsize=10.5, color=SOFT)
        at += 200
    axes.text((at) / width, 1 - 16 / height, 'orange: filch', transform=figure.transFigure, va='center', fontsize=10.5, color=FILCH,
              fontweight='bold')
    return svg_of(figure, 'models', 'Three threading models', '; '.join(told) + '.')


STALLS = {'none': 'nobody stalls', 'sleep': 'one task is in usleep', 'cpu': 'one task computes', 'allcpu': 'one a worker computes',
          'pipe': 'one task is in read', 'fifo': 'one a worker is in read', 'mutex': 'one a worker waits for a mutex',
          'fault': 'one a worker waits for a page'}


def stall_limits(stalls):
    values = [max(value, 0.5) for shapes in stalls.values() for shape in shapes for part, value in shape.points if part >= 0.3]
    return min(values) / 1.5, max(values) * 1.5


def stall_picture(stalls):
    kinds = [kind for kind in STALLS if kind in stalls][:4]
    low, high = stall_limits({kind: stalls[kind] for kind in kinds})
    left, gap, panel, right, top, bottom = 56, 22, 176, 100, 34, 40
    width, height = left + len(kinds) * (panel + gap) - gap + right, 250
    figure = pyplot.figure(figsize=(width / 72, height / 72), dpi=72)
    told = []
    for i, kind in enumerate(kinds):
        axes = figure.add_axes([(left + i * (panel + gap)) / width, bottom / height, panel / width, (height - top - bottom) / height])
        distribution('', '', stalls[kind], low=low, high=high, axes=axes, labels=i == len(kinds) - 1)
        if i:
            axes.set_yticklabels([])
        axes.set_title(STALLS[kind], loc='left', fontsize=11, fontweight='bold', color=INK, pad=9)
        told.append(f'{STALLS[kind]}: ' + ', '.join(f'{name_of(shape.system)} {time_text(dict(shape.points).get(0.99, 0) * 1e3)}'
                                                   for shape in stalls[kind]))
    return svg_of(figure, 'stall', 'How late 100 tasks wake while another stalls its kernel thread',
                  'At the 99th percentile, ' + '; '.join(told) + '.')
