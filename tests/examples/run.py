#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""run.py SHARED-LIBRARY INCLUDE-PATH FILE.md... -- COMPILER...: the documentation's programs, compiled and run.

Every ```c block with an `int main` is a program. It is compiled with -Wall -Wextra -Werror against <filch.h> and the shared library, run
in an empty folder with no input, and must end within 20 seconds with status 0. If the next block of the text before any other ```c block
is ```text, that is what it prints, exactly.
Prints the Test Anything Protocol, one test a program."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

SECONDS = 20
BLOCK = re.compile(r'^```(\w*)[^\n]*\n(.*?)^```[ \t]*$', re.M | re.S)


def programs(path):
    """(line, source, expected output or None) of each program in a Markdown file."""
    text = path.read_text(encoding='utf-8')
    blocks = [(text.count('\n', 0, m.start()) + 2, m[1], m[2]) for m in BLOCK.finditer(text)]
    for i, (line, language, body) in enumerate(blocks):
        if language == 'c' and re.search(r'\bint main\b', body):
            following = blocks[i + 1] if i + 1 < len(blocks) else (0, '', '')
            yield line, body, following[2] if following[1] == 'text' else None


def failure(line, name, source, expected, library, include, compiler):
    """Why the program at `name`:`line` does not do what the text says, or None."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, 'example')
        built = subprocess.run([*compiler, '-std=gnu11', '-D_GNU_SOURCE', '-Wall', '-Wextra', '-Werror', '-O1', '-g', f'-I{include}',
                                '-x', 'c', '-', '-x', 'none', '-o', str(program), str(library), '-pthread', f'-Wl,-rpath,{library.parent}'],
                               input=f'#line {line} "{name}"\n{source}', text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if built.returncode:
            return 'does not compile\n' + built.stdout
        clean = Path(folder, 'clean')
        clean.mkdir()
        try:
            ran = subprocess.run([str(program)], cwd=clean, stdin=subprocess.DEVNULL, text=True, capture_output=True, timeout=SECONDS,
                                 env={**os.environ, 'LC_ALL': 'C.UTF-8'})
        except subprocess.TimeoutExpired:
            return f'still runs after {SECONDS} s'
        if ran.returncode:
            return f'ended with status {ran.returncode}\n{ran.stdout}{ran.stderr}'
        if expected is not None and ran.stdout != expected:
            return f'printed\n{ran.stdout}instead of\n{expected}'
    return None


def main():
    split = sys.argv.index('--')
    library, include, *files = sys.argv[1:split]
    compiler = sys.argv[split + 1:]
    found = [(Path(name), *program) for name in files for program in programs(Path(name))]
    print(f'1..{len(found)}')
    failed = 0
    for number, (path, line, source, expected) in enumerate(found, 1):
        why = failure(line, path.name, source, expected, Path(library).resolve(), include, compiler)
        print(f'{"not ok" if why else "ok"} {number} - {path.name} line {line}', flush=True)
        if why:
            failed += 1
            print(f'{path.name}:{line}: {why}', file=sys.stderr)
    sys.exit(1 if failed else 0)


main()
