#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""listed.py SOURCE-ROOT: no source file is forgotten.

Meson's lists are written by hand. Every test_*.c, stress_*.c and source of the runtime stands in the meson.build of its folder or the one
above; and every public header is installed."""

import re
from sources import Source, main


def check(root, complain):
    def listed(meson, folder, pattern, relative_to):
        text = re.sub(r'#.*', '', (root / meson).read_text(encoding='utf-8'))
        text = re.sub(r"context_' \+ host_machine\.cpu_family\(\) \+ '", "context_*", text)
        for path in sorted((root / folder).rglob(pattern)):
            name = str(path.relative_to(root / relative_to))
            if f"'{name}'" not in text and f"'{path.stem}'" not in text and f"'../{name}'" not in text:
                complain(Source(root, path), 1, f'not listed in {meson}')

    listed('tests/unit/meson.build', 'tests/unit', 'test_*.c', 'tests/unit')
    listed('tests/api/meson.build', 'tests/api', 'test_*.c', 'tests/api')
    listed('tests/stress/meson.build', 'tests/stress', 'stress_*.c', 'tests/stress')
    listed('runtime/meson.build', 'runtime', '*.c', 'runtime')
    listed('runtime/meson.build', 'include', '*.h', '.')


main(check)
