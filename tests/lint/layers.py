#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""layers.py SOURCE-ROOT: every arrow between the runtime's floors points one way.

A file includes its own floor and those before it in FLOORS, as "floor/name.h"; runtime.c includes all. Public headers include each other
and the system."""

import re
from sources import main, sources

FLOORS = ['base', 'machine', 'sched', 'sync', 'io', 'debug']
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)


def includes(source):
    for m in INCLUDE.finditer(source.text):
        yield source.text.count('\n', 0, m.start()) + 1, m[1], m[2]


def check(root, complain):
    for source in sources(root, 'runtime', '*.[chS]'):
        parts = source.path.parts[1:]
        here = FLOORS.index(parts[0]) if parts[0] in FLOORS else None
        if here is None and parts[0] != 'runtime.c':
            complain(source, 1, f'not on one of the floors: {", ".join(FLOORS)}')
            continue
        for line, quote, name in includes(source):
            if quote == '<':
                continue
            floor = name.split('/')[0]
            if '/' not in name or floor not in FLOORS:
                complain(source, line, f'"{name}": an include of the runtime is written "floor/name.h"')
            elif here is not None and FLOORS.index(floor) > here:
                complain(source, line, f'{parts[0]} must not include "{name}": {floor} stands on it, not below it')
            elif not (root / 'runtime' / name).is_file():
                complain(source, line, f'"{name}" does not exist')
    for source in sources(root, 'include'):
        for line, quote, name in includes(source):
            if quote == '"':
                complain(source, line, f'"{name}": a public header includes with <>, nothing of the runtime')


main(check)
