# SPDX-License-Identifier: MIT
"""What the lint scripts share: the files, comments apart from code, complaints with a place.

Each script is `NAME.py SOURCE-ROOT`, prints `file:line: what is wrong` and ends with status 1 if it printed anything."""

import re
import sys
from pathlib import Path

TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


class Source:
    """A C file: `path` as printed, `text`, and two texts with the same lines and columns: `code` without comments and strings, `comments`
    with nothing else."""

    def __init__(self, root, path):
        self.path = path.relative_to(root)
        self.text = path.read_text(encoding='utf-8')
        blank = lambda s: re.sub(r'[^\n]', ' ', s)
        is_comment = lambda s: s.startswith('/')
        self.code = TOKEN.sub(lambda m: blank(m[0]), self.text)
        parts, end = [], 0
        for m in TOKEN.finditer(self.text):
            parts.append(blank(self.text[end:m.start()]))
            parts.append(m[0] if is_comment(m[0]) else blank(m[0]))
            end = m.end()
        self.comments = ''.join(parts) + blank(self.text[end:])


def sources(root, folder, pattern='*.[ch]'):
    return [Source(root, path) for path in sorted((root / folder).rglob(pattern))]


def functions(source):
    """The functions a public header declares: (line, name, declaration, doc comment or '')."""
    for m in re.finditer(r'^FILCH_API\b[^;{]*', source.code, re.M):
        name = re.search(r'(\w+)\s*\(', m[0].replace('FILCH_API', ''))
        if not name:
            continue
        before = source.text[:m.start()].rstrip()
        doc = ''
        if before.endswith('*/'):
            start = before.rfind('/*')
            doc = before[start:] if before.startswith('/**', start) else ''
        yield source.text.count('\n', 0, m.start()) + 1, name[1], m[0], doc


def main(check):
    """Runs `check(root, complain)`; complain(source, line, message)."""
    count = 0

    def complain(source, line, message):
        nonlocal count
        count += 1
        print(f'{source.path}:{line}: {message}')

    check(Path(sys.argv[1]).resolve(), complain)
    sys.exit(1 if count else 0)
