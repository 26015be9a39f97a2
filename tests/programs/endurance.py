#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""endurance.py HTTPD HOSTILE: httpd serves wrk while a thousand others do their worst.

Three rounds of two seconds; of twenty with FILCH_LONG=1 in the environment. One in which a worker more has come, because another one was stalled, doesn't count:
that has memory of its own. First all connections that are allowed at a time, and a round of the same kind, bring the process to its size. HTTPD is linked
with frugal.c: once it is idle it has what it uses, and the rounds end with the same within 0.1 MiB or so. What is never freed grows in every round: the least
growth is what counts, since a few stacks more or less keep their memory each time."""

import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from programs import Server, becomes, check, command, equal, law, run, tool

HTTPD, HOSTILE = map(os.path.abspath, sys.argv[1:])
CONNECTIONS = 1500
SECONDS = 20 if os.environ.get('FILCH_LONG') == '1' else 2
ROUNDS, AT_MOST = 3, 6 if SECONDS > 10 else 9
WARM_UP = 10 if SECONDS > 10 else 3
GROWTH = 0.4  # MiB a round; at 10,000 requests a second, 20 bytes a request in a round of two seconds

SCRIPT = '''
local count = 0
request = function()
    count = count + 1
    return wrk.format("GET", "/file" .. count % 100)
end
'''


def load(server, folder, seconds):
    """Both kinds of clients for some seconds. @return what each of the two said"""
    hostile = subprocess.Popen([HOSTILE, str(server.port), str(seconds), '500', '500', '/large'], stdout=subprocess.PIPE)
    text = command(tool('wrk'), '-t1', '-c32', f'-d{seconds}s', '--timeout', '20s', '-s', folder / 'files.lua',
                   f'http://127.0.0.1:{server.port}/', seconds=seconds + 60).stdout.decode()
    told = hostile.communicate(timeout=seconds + 60)[0].decode()
    equal(hostile.returncode, 0, told)
    return text, told


def fill(server):
    """As many connections as are allowed, all at once: each that has ended before has made room."""
    with ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(CONNECTIONS)]
        for client in clients:
            client.sendall(b'GET /file1 HTTP/1.1\r\nHost: x\r\n\r\n')
        for client in clients:
            check(client.recv(1000).startswith(b'HTTP/1.1 200 OK'), 'not served')


def settled(server):
    """MiB of memory, once the runtime has given back the stacks of those who have gone, which takes some seconds."""
    before, now = server.resident() + 1, server.resident()
    until = time.monotonic() + 30
    while now < before - 0.1 and time.monotonic() < until:
        time.sleep(3)
        before, now = now, server.resident()
    return now


@law
def endurance():
    """good clients notice nothing, and nothing is left behind"""
    tool('wrk')
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / 'files.lua').write_text(SCRIPT)
        for i in range(100):
            (folder / f'file{i}').write_bytes(os.urandom(i * 300))
        (folder / 'large').write_bytes(bytes(20 << 20))
        with Server(HTTPD, '--header', 2, '--idle', 5, '--send', 5, '--connections', CONNECTIONS, folder) as server:
            fill(server)
            load(server, folder, WARM_UP)
            becomes('only what the server itself has open', lambda: server.descriptors() < 20)
            descriptors, memory, threads = server.descriptors(), settled(server), server.threads()
            growths = []
            for _ in range(AT_MOST):
                text, told = load(server, folder, SECONDS)
                check('Socket errors' not in text and 'Non-2xx' not in text, text)
                check(int(re.search(r'(\d+) requests in', text)[1]) > 100 * SECONDS, text)
                becomes('as many descriptors as before', lambda: server.descriptors() <= descriptors)
                now, more = settled(server), server.threads() - threads
                print(f'# {" ".join(text.split()[-4:])}; {told.strip()}; {now:.1f} MiB, grown by {now - memory:.1f}, and by {more} threads', flush=True)
                if more == 0:
                    growths.append(now - memory)
                if len(growths) == ROUNDS:
                    break
                memory, threads = now, threads + more
            check(growths, 'a worker more in each round')
            check(min(growths) < GROWTH, f'grown by {", ".join(f"{growth:.1f}" for growth in growths)} MiB')
            fill(server)


run()
