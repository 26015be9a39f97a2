#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""cp.py CP: the laws of docs/examples/cp."""

import os
import pty
import resource
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from programs import SECONDS, becomes, check, check_usage, command, equal, law, run

CP = os.path.abspath(sys.argv[1])
MIB = 1 << 20


@contextmanager
def place():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / 'to').mkdir()
        yield folder, folder / 'to'


def same(a, b):
    command('cmp', a, b)


@law
def options():
    """wrong options are complained about"""
    check_usage(CP, 'a', 'b')
    command(CP, 'a', status=2)
    command(CP, '--tasks', '0', 'a', 'b', status=2)


@law
def sizes():
    """copies of all sizes are the same, with the permissions"""
    with place() as (folder, to):
        for size in 0, 1, MIB - 1, MIB, MIB + 1, 20 * MIB + 3:
            source = folder / f'{size}'
            source.write_bytes(os.urandom(size))
            source.chmod(0o640 if size % 2 else 0o755)
            for more in [], ['--tasks', 1], ['--sync', '--workers', 2]:
                command(CP, *more, source, to / 'copy')
                same(source, to / 'copy')
                equal((to / 'copy').stat().st_mode, source.stat().st_mode)
        equal(os.listdir(to), ['copy'])


@law
def into_directory():
    """into a directory, through a link, by a relative name"""
    with place() as (folder, to):
        (folder / 'a').write_bytes(b'content')
        command(CP, folder / 'a', to)
        same(folder / 'a', to / 'a')
        (folder / 'link').symlink_to(to / 'target')
        (to / 'target').write_bytes(b'old')
        command(CP, folder / 'a', folder / 'link')
        check((folder / 'link').is_symlink() and (to / 'target').read_bytes() == b'content', 'the link is gone')
        command(CP, '--sync', 'a', 'b', cwd=folder)
        same(folder / 'a', folder / 'b')
        equal(sorted(os.listdir(folder)), ['a', 'b', 'link', 'to'])


@law
def holes():
    """holes stay holes"""
    with place() as (folder, to):
        with (folder / 'sparse').open('wb') as sparse:
            for at in 5 * MIB + 4096, 40 * MIB - 100, 77 * MIB:
                sparse.seek(at)
                sparse.write(b'data' * 2000)
            sparse.truncate(100 * MIB)
        command(CP, folder / 'sparse', to)
        same(folder / 'sparse', to / 'sparse')
        size = (to / 'sparse').stat().st_blocks * 512
        if (folder / 'sparse').stat().st_blocks * 512 < MIB:
            check(size < MIB, f'the copy takes {size} bytes')


@law
def unknown_size():
    """from a pipe and from /proc, whose size is not known; to a device"""
    with place() as (folder, to):
        data = os.urandom(3 * MIB + 5)
        command(CP, '/dev/stdin', to / 'copy', stdin=data)
        check((to / 'copy').read_bytes() == data, 'not what was written')
        command(CP, '/proc/version', to / 'version')
        same('/proc/version', to / 'version')
        command(CP, to / 'copy', '/dev/null')
        equal(command(CP, to / 'copy', '/dev/stdout').stdout, data)
        check('No space left' in command(CP, to / 'copy', '/dev/full', status=1).errors, 'a full disk is no error')


@law
def mistakes():
    """mistakes are named, and nothing is touched"""
    with place() as (folder, to):
        (folder / 'a').write_bytes(b'content')
        os.link(folder / 'a', folder / 'also')
        for source, target, word in [('none', 'b', 'No such file'), ('to', 'b', 'is a directory'), ('a', 'a', 'the same file'),
                                     ('a', 'also', 'the same file'), ('a', 'no/where', 'No such file')]:
            errors = command(CP, folder / source, folder / target, status=1).errors
            check(word in errors, f'{source} {target}: {errors}')
        equal((folder / 'a').read_bytes(), b'content')
        equal(sorted(os.listdir(folder)), ['a', 'also', 'to'])


@law
def failure():
    """a copy that fails leaves what was there, or, if asked to, what was copied"""
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (3 * MIB, 3 * MIB))
    with place() as (folder, to):
        (folder / 'a').write_bytes(os.urandom(10 * MIB))
        (to / 'copy').write_bytes(b'old')
        command(CP, folder / 'a', to / 'copy', status=1, preexec_fn=limit)
        equal((to / 'copy').read_bytes(), b'old')
        equal(os.listdir(to), ['copy'])
        command(CP, '/dev/stdin', to / 'copy', status=1, preexec_fn=limit, stdin=bytes(10 * MIB))
        equal(os.listdir(to), ['copy'])
        errors = command(CP, '--keep-partial', '/dev/stdin', to / 'copy', status=1, preexec_fn=limit, stdin=bytes(10 * MIB)).errors
        equal(len(os.listdir(to)), 2)
        partial = next(name for name in os.listdir(to) if name != 'copy')
        check(partial in errors and (to / partial).stat().st_size == 3 * MIB, errors)


@law
def interrupted():
    """SIGINT and SIGTERM leave nothing"""
    for number in signal.SIGINT, signal.SIGTERM:
        with place() as (folder, to):
            process = subprocess.Popen([CP, '/dev/stdin', to / 'copy'], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
            process.stdin.write(bytes(MIB))
            process.stdin.flush()
            becomes('a file', lambda: os.listdir(to))
            process.send_signal(number)
            equal(process.wait(SECONDS), -number)
            process.stdin.close()
            equal(os.listdir(to), [])


@law
def progress():
    """progress is shown on a terminal, once it takes long"""
    with place() as (folder, to):
        terminal, stderr = pty.openpty()
        began = time.monotonic()
        process = subprocess.Popen([CP, '/dev/stdin', to / 'copy'], stdin=subprocess.PIPE, stderr=stderr)
        os.close(stderr)
        process.stdin.write(bytes(2 * MIB))
        process.stdin.flush()
        shown = b''
        while b'copy: 2 MB' not in shown:
            shown += os.read(terminal, 1000)
        check(time.monotonic() - began > 0.8, 'at once')
        process.stdin.close()
        equal(process.wait(SECONDS), 0)
        os.close(terminal)


run()
