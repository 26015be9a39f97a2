#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tree.py TREE: the laws of docs/examples/tree."""

import os
import resource
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from programs import SECONDS, check, check_usage, command, equal, law, run

TREE = os.path.abspath(sys.argv[1])


def expected(folder, **more):
    """What find, xargs, sha256sum and sort make of it."""
    return command('bash', '-c', 'find "$0" -type f -print0 | xargs -0 -r sha256sum | LC_ALL=C sort -k 2', folder, **more).stdout


def grow(folder):
    for i in range(300):
        path = Path(folder, *'ab c/d/ef'[:i % 9 + 1].split('/'), f'file {i}')
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(i * i))
    for name in 'back\\slash', 'new\nline', 'car\rriage', '-', ' ', 'ü', b'\xff':
        Path(folder, os.fsdecode(name)).write_text('x')
    Path(folder, 'link').symlink_to('file 0')
    Path(folder, 'loop').symlink_to('.')
    Path(folder, 'none').mkdir()
    os.mkfifo(Path(folder, 'fifo'))


@law
def options():
    """wrong options are complained about"""
    check_usage(TREE)
    check('not a directory' in command(TREE, '/no/such', status=1).errors, 'what is no directory is no mistake')


@law
def same():
    """the same as find, sha256sum and sort"""
    with tempfile.TemporaryDirectory() as folder:
        grow(folder)
        for words in [], ['--workers', 2], ['--open', 1], ['--open', 2, '--workers', 2]:
            equal(command(TREE, *words, folder).stdout, expected(folder), words)
        equal(command(TREE, folder + '/').stdout, expected(folder + '/'), 'with a slash')
        equal(command(TREE, cwd=folder).stdout, expected('.', cwd=folder), 'without a name')


@law
def large():
    """the same of /usr/include, with few descriptors"""
    limit = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    equal(command(TREE, '--open', 16, '/usr/include', preexec_fn=limit).stdout, expected('/usr/include'))


@law
def unreadable():
    """what cannot be read is complained about, and left out"""
    lines = command(TREE, '/proc/self/attr', status=None)
    check(lines.returncode in (0, 1), lines.errors)
    with tempfile.TemporaryDirectory() as folder:
        for name in 'a', 'b':
            Path(folder, name).write_text(name)
        limit = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (3, 64))
        Path(folder, 'a').chmod(0)
        if os.access(Path(folder, 'a'), os.R_OK):
            return  # this user reads everything
        ran = command(TREE, folder, status=1)
        check('Permission denied' in ran.errors and ran.stdout.endswith(b'/b\n'), ran.errors)


@law
def interrupted():
    """SIGINT ends it"""
    process = subprocess.Popen([TREE, '/'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(0.5)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        equal(process.wait(SECONDS), -signal.SIGINT)


run()
