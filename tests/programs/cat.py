#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""cat.py CAT: the laws of docs/examples/cat."""

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from programs import SECONDS, check, check_usage, command, equal, law, run

CAT = os.path.abspath(sys.argv[1])
folder = tempfile.TemporaryDirectory()
a, b, empty = (Path(folder.name, name) for name in ('a', 'b', 'empty'))
a.write_bytes(os.urandom(5_000_001))
b.write_bytes(b'a line\n')
empty.touch()


@law
def options():
    """wrong options are complained about"""
    check_usage(CAT)


@law
def files():
    """the same as cat(1): files, and standard input among them"""
    for words in [a], [b, a, b], [empty, b], ['-'], [], [b, '-', b], ['/proc/version']:
        equal(command(CAT, *words, stdin=b'from outside').stdout, command('cat', *words, stdin=b'from outside').stdout, words)
    with a.open('rb') as stdin:
        equal(command(CAT, stdin=stdin).stdout, a.read_bytes())


@law
def missing():
    """what cannot be read is complained about, the rest is written"""
    ran = command(CAT, b, '/no/such', folder.name, b, status=1)
    equal(ran.stdout, b'a line\na line\n')
    check('/no/such: No such file' in ran.errors and 'Is a directory' in ran.errors, ran.errors)


@law
def pipes():
    """through pipes, also slow ones in non-blocking mode"""
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETFL, os.O_NONBLOCK)
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    process = subprocess.Popen([CAT, a], stdout=write, stderr=subprocess.DEVNULL)
    os.close(write)
    found, pauses = b'', 20
    while piece := os.read(read, 65536):
        found += piece
        pauses -= 1
        time.sleep(0.01 if pauses > 0 else 0)
    os.close(read)
    equal(process.wait(SECONDS), 0)
    check(found == a.read_bytes(), 'not what was written')


@law
def broken_pipe():
    """a reader that goes ends it by SIGPIPE, without a word"""
    with open('/dev/zero', 'rb') as zeros:
        for words in [CAT, '/dev/zero'], [CAT]:
            process = subprocess.Popen(words, stdin=zeros, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            process.stdout.read(10)
            process.stdout.close()
            equal(process.wait(SECONDS), -signal.SIGPIPE)
            check(b'cat:' not in process.stderr.read(), 'a complaint')
            process.stderr.close()


@law
def full():
    """a full disk is an error"""
    with open('/dev/full', 'wb') as output:
        process = subprocess.run([CAT, b], stdout=output, stderr=subprocess.PIPE, timeout=SECONDS)
    equal(process.returncode, 1)
    check(b'No space left' in process.stderr, process.stderr)


@law
def endless():
    """a file is not written behind itself"""
    with b.open('ab') as output:
        ran = subprocess.run([CAT, b], stdout=output, stderr=subprocess.PIPE, timeout=SECONDS)
    equal(ran.returncode, 1)
    equal(b.read_bytes(), b'a line\n')


@law
def interrupted():
    """SIGINT and SIGTERM end it where it waits"""
    for number in signal.SIGINT, signal.SIGTERM:
        process = subprocess.Popen([CAT, b, '-'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        equal(process.stdout.read(7), b'a line\n')
        process.send_signal(number)
        equal(process.wait(SECONDS), -number)
        process.stdin.close()
        process.stdout.close()


run()
