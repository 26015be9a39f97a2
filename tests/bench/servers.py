#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""servers.py FILCH-BENCH: the servers of workloads echo and http answer alike, whichever way and in whatever language they are written.

Each is started by `run http --generator none`, which says the port on standard error, and is killed with it."""

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / 'programs'))
from programs import SECONDS, Skip, check, command, equal, law, run

BENCH = Path(sys.argv[1]).resolve()
RESPONSE = b'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!'
GET = b'GET / HTTP/1.1\r\nHost: a\r\n\r\n'
LAST = b'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'
IN_GO = ('go', 'net-http')


def there(form):
    return form not in IN_GO or (BENCH.parent / 'serve-go').exists()


class Http:
    def __init__(self, form):
        words = [BENCH, 'run', 'http', '--form', form, '--generator', 'none', '--seconds', SECONDS, '--runs', 1]
        self.form, self.words = form, [str(word) for word in words]

    def __enter__(self):
        self.process = subprocess.Popen(self.words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for line in self.process.stderr:
            if b'http://127.0.0.1:' in line:
                self.port = int(line.split(b'127.0.0.1:')[1].split(b'/')[0])
                return self
            if b'server failed' in line and self.form == 'uring':
                self.__exit__()
                raise Skip('no io_uring')
        raise AssertionError(f'{self.words} ended with {self.process.wait()}')

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()

    def ask(self, *pieces):
        """Sends them one after the other. @return all that comes until the server ends the connection, which it must"""
        with socket.create_connection(('127.0.0.1', self.port), SECONDS) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            data = b''
            for piece in pieces:
                client.sendall(piece)
                if len(pieces) > 1:
                    time.sleep(0.02)
            try:
                while piece := client.recv(65536):
                    data += piece
            except ConnectionResetError:  # it has not read all that came
                pass
            return data


def answers(form):
    if not there(form):
        raise Skip('no Go')
    with Http(form) as server:
        equal(server.ask(LAST), replies(form, 1), 'one')
        equal(server.ask(GET * 20 + LAST), replies(form, 21), 'at once')
        equal(server.ask(GET * 2000 + LAST), replies(form, 2001), 'very many at once')
        equal(server.ask(*(LAST[i:i + 1] for i in range(len(LAST)))), replies(form, 1), 'byte by byte')
        equal(server.ask(GET + GET[:9], GET[9:] + LAST), replies(form, 3), 'one and a half')
        post = b'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 27\r\n\r\n'
        equal(server.ask(post + GET + LAST), replies(form, 2), 'a body that looks like a request')
        chunked = b'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1b;x=y\r\n' + GET + b'\r\n0\r\nAfter: all\r\n\r\n'
        equal(server.ask(chunked + LAST), replies(form, 2), 'the same in chunks')
        equal(server.ask(LAST + GET), replies(form, 1), 'nothing after the last')
        for wrong in b'GARBAGE\r\n\r\n', b'GET\r\n\r\n', b'GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n', b'\0\r\n\r\n':
            equal(server.ask(wrong)[:24], b'HTTP/1.1 400 Bad Request', f'to {wrong}')
        mixed = server.ask(GET + b'GARBAGE\r\n\r\n')
        check(mixed.startswith(RESPONSE) and mixed.count(b' 200 ') == 1, f'to a request with garbage behind it: {mixed}')
        if form != 'net-http':
            equal(server.ask(b'GET / HTTP/1.0\r\n\r\n'), RESPONSE, 'HTTP/1.0')
            equal(server.ask(b'GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n' + LAST), 2 * RESPONSE, 'HTTP/1.0, kept')


def replies(form, count):
    """net/http says of the last one that it is."""
    if form != 'net-http':
        return count * RESPONSE
    return (count - 1) * RESPONSE + RESPONSE.replace(b'\r\n\r\n', b'\r\nConnection: close\r\n\r\n')


def skip_without_uring(ran):
    if ran.returncode and ('not permitted' in ran.errors or 'not implemented' in ran.errors):
        raise Skip('no io_uring, which the client is made of')


def agree(workload):
    ran = command(BENCH, 'run', workload, '--connections', 20, '--seconds', 1, '--runs', 1, '--vs', 'all', '--json', status=None)
    skip_without_uring(ran)
    equal(ran.returncode, 0, ran.errors)
    said = json.loads(ran.stdout)
    forms = {one['form'] for one in said['versus']}
    equal(said['check'], {'lost': 0})
    equal('go' in forms, there('go'), f'go among {forms}')
    check({'epoll', 'uring'} <= forms, f'{forms}')
    for one in said['versus']:
        check(one['ratio']['median'] > 0 and one['more']['rate']['median'] > 0, f'{one}')


@law
def http_filch():
    """http: form filch"""
    answers('filch')


@law
def http_epoll():
    """http: form epoll"""
    answers('epoll')


@law
def http_uring():
    """http: form uring"""
    answers('uring')


@law
def http_go():
    """http: form go"""
    answers('go')


@law
def http_net_http():
    """http: form net-http"""
    answers('net-http')


@law
def http_alike():
    """http: no reply is lost or wrong in any form"""
    agree('http')


@law
def echo_alike():
    """echo: no byte is lost or wrong in any form"""
    agree('echo')


@law
def without_go():
    """where there is no Go, --vs all says so and leaves it out, and --form go fails"""
    with tempfile.TemporaryDirectory() as folder:
        alone = Path(folder, 'filch-bench')
        shutil.copy(BENCH, alone)
        words = [alone, 'run', 'echo', '--connections', 5, '--seconds', 1, '--runs', 1, '--json']
        said = command(*words, '--form', 'go', status=1)
        check('golang-go' in said.errors, said.errors)
        said = command(*words, '--form', 'epoll', '--vs', 'all', status=None)
        skip_without_uring(said)
        equal(said.returncode, 0, said.errors)
        check('golang-go' in said.errors, said.errors)
        equal({one['form'] for one in json.loads(said.stdout)['versus']}, {'filch', 'uring'})


run()
