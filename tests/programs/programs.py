# SPDX-License-Identifier: MIT
"""What the tests of docs/examples share: laws, programs that run, and clients that may be missing.

A script is `NAME.py PROGRAM...`, declares laws by @law, and ends with run(). It prints the Test Anything Protocol, one test a law. What an I/O
back-end has to do with it is in the environment (FILCH_IO) and none of the script's business."""

import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

SECONDS = 60  # at most, for whatever is waited for

laws = []


class Skip(Exception):
    pass


def law(function):
    """Its docstring is its name."""
    laws.append(function)
    return function


def tool(name):
    """The path of a program that Debian has in a package that may not be installed."""
    found = shutil.which(name)
    if not found:
        raise Skip(f'no {name}')
    return found


def check(condition, text):
    if not condition:
        raise AssertionError(text)


def equal(found, expected, what=''):
    check(found == expected, f'{what}: {found!r:.300} instead of {expected!r:.300}')


def command(*words, stdin=b'', status=0, seconds=SECONDS, **more):
    """Runs a command to its end. @return its standard output and error, but for what the runtime says of FILCH_IO; fails if its status is not `status` (None: any)"""
    where = {'stdin': stdin} if not isinstance(stdin, bytes) else {'input': stdin}
    ran = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=seconds, **where, **more)
    errors = b''.join(line for line in ran.stderr.splitlines(True) if not line.startswith(b'filch: blocking calls go by'))
    if status is not None and ran.returncode != status:
        raise AssertionError(f'{words} ended with {ran.returncode} instead of {status}: {errors!r:.500}')
    ran.errors = errors.decode(errors='replace')
    return ran


class Server:
    """A server of docs/examples, from its start until the end of the block, when SIGTERM must end it well."""

    def __init__(self, *words, descriptors=None, env=None):
        self.words = [str(word) for word in words]
        self.env = {**os.environ, **(env or {})}
        self.limit = (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))) if descriptors else None

    def __enter__(self):
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(self.words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.errors, env=self.env,
                                        preexec_fn=self.limit)
        words = self.process.stdout.readline().split()
        if len(words) != 2 or words[0] != b'port':
            self.process.kill()
            self.process.wait()
            self.errors.seek(0)
            raise AssertionError(f'{self.words} said {words} and {self.errors.read()!r}')
        self.port = int(words[1])
        return self

    def __exit__(self, kind, value, trace):
        if kind:
            self.process.kill()
            self.process.wait()
        else:
            self.stop(signal.SIGTERM)
        self.process.stdout.close()
        self.errors.close()

    def stop(self, number):
        """Ends it; that must not take long, and it must end well."""
        if self.process.returncode is None:
            began = time.monotonic()
            self.process.send_signal(number)
            equal(self.process.wait(SECONDS), 0, 'status of the server')
            check(time.monotonic() - began < 15, 'it took the server long to end')

    def connect(self, host='127.0.0.1'):
        return socket.create_connection((host, self.port), SECONDS)

    def proc(self, name):
        return Path(f'/proc/{self.process.pid}/{name}')

    def cpu(self):
        """Seconds of processor time that it has used."""
        fields = self.proc('stat').read_text().rpartition(')')[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')

    def descriptors(self):
        """How many are open, but for the rings of workers: one more may be made whenever a task stalls."""
        def is_ring(fd):
            try:
                return any(word in os.readlink(fd) for word in ('[io_uring]', '[eventfd]', '[eventpoll]'))
            except OSError:
                return False
        return sum(not is_ring(fd) for fd in self.proc('fd').iterdir())

    def threads(self):
        return len(list(self.proc('task').iterdir()))

    def resident(self):
        """MiB of memory."""
        return next(int(line.split()[1]) / 1024 for line in self.proc('status').read_text().splitlines() if line.startswith('VmRSS:'))


def drain(connection):
    """All that comes until the other side has ended."""
    data = b''
    while piece := connection.recv(65536):
        data += piece
    return data


def becomes(what, condition, seconds=SECONDS):
    until = time.monotonic() + seconds
    while not condition():
        check(time.monotonic() < until, f'never: {what}')
        time.sleep(0.02)


def check_usage(program, *good):
    """What holds for the options of all of them."""
    helped = command(program, '--help')
    check(helped.stdout.startswith(b'Usage: ') and not helped.errors, '--help is no help')
    for words in ['--no-such-option'], ['--workers', 'x', *good], ['--workers', '2000', *good]:
        wrong = command(program, *words, status=2)
        check('--help' in wrong.errors and not wrong.stdout, f'{words}: {wrong.errors}')


def run():
    print(f'1..{len(laws)}', flush=True)
    failed = 0
    for number, function in enumerate(laws, 1):
        try:
            function()
            print(f'ok {number} - {function.__doc__}', flush=True)
        except Skip as why:
            print(f'ok {number} - {function.__doc__} # skip {why}', flush=True)
        except Exception:
            failed += 1
            print(f'not ok {number} - {function.__doc__}', flush=True)
            traceback.print_exc()
    sys.exit(1 if failed else 0)
