#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""echo.py ECHO: the laws of docs/examples/echo."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack

from programs import Server, check, check_usage, command, drain, equal, law, run, tool

ECHO = os.path.abspath(sys.argv[1])


@law
def options():
    """wrong options are complained about"""
    check_usage(ECHO)
    command(ECHO, '--port', '65536', status=2)
    command(ECHO, 'word', status=2)


@law
def nc():
    """nc gets back what it sends, by IPv4 and IPv6"""
    data = os.urandom(3_000_001)
    with Server(ECHO) as server:
        for host in '127.0.0.1', '::1':
            equal(command(tool('nc'), '-N', host, server.port, stdin=data).stdout, data, host)


@law
def many():
    """500 clients at once"""
    with Server(ECHO, '--workers', 2) as server, ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(500)]
        for turn in range(3):
            for i, client in enumerate(clients):
                client.sendall(b'%d of %d' % (turn, i))
            for i, client in enumerate(clients):
                equal(client.recv(100), b'%d of %d' % (turn, i))


@law
def idle():
    """who is silent for too long is let go, who speaks is not"""
    with Server(ECHO, '--idle', 1) as server, server.connect() as silent, server.connect() as busy:
        began = time.monotonic()
        for _ in range(16):
            busy.sendall(b'.')
            equal(busy.recv(10), b'.')
            time.sleep(0.1)
        equal(silent.recv(10), b'')
        check(time.monotonic() - began < 10, 'it took long')


@law
def deaf():
    """who doesn't read is let go"""
    with Server(ECHO, '--idle', 1) as server, server.connect() as deaf_one:
        deaf_one.settimeout(20)
        try:
            while True:
                deaf_one.sendall(bytes(100_000))
        except ConnectionError:
            pass


@law
def fair():
    """clients that are never done do not keep others waiting"""
    with Server(ECHO, '--workers', 1) as server, server.connect() as client:
        floods = [command_in_background('bash', '-c', f'exec 3<>/dev/tcp/127.0.0.1/{server.port}; cat <&3 >/dev/null & exec cat /dev/zero >&3') for _ in range(2)]
        try:
            time.sleep(0.5)
            rounds, end = 0, time.monotonic() + 2
            while time.monotonic() < end:
                client.sendall(b'.')
                equal(client.recv(1), b'.')
                rounds += 1
            check(rounds > 20, f'{rounds} rounds in two seconds')
        finally:
            for flood in floods:
                os.killpg(flood.pid, signal.SIGKILL)
                flood.wait()


def command_in_background(*words):
    return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


@law
def signals():
    """SIGINT and SIGTERM end it, also with clients"""
    for number in signal.SIGINT, signal.SIGTERM:
        with Server(ECHO) as server, server.connect() as client:
            client.sendall(b'.')
            equal(client.recv(10), b'.')
            server.stop(number)
            check(drain_or_reset(client), 'the connection lives on')


def drain_or_reset(client):
    try:
        return drain(client) == b''
    except ConnectionError:
        return True


@law
def again():
    """a port can be used again at once, but not twice"""
    with Server(ECHO) as server:
        with server.connect() as client:
            client.sendall(b'.')
            client.recv(1)
            port = server.port
            twice = command(ECHO, '--port', port, status=1)
            check('--port' in twice.errors, twice.errors)
            server.stop(signal.SIGTERM)  # which closes first: its side is the one that lingers in TIME_WAIT
    with Server(ECHO, '--port', port) as server:
        equal(server.port, port)


@law
def descriptors():
    """out of descriptors it waits, without spinning, and goes on"""
    with Server(ECHO, descriptors=64) as server, ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(100)]
        for client in clients:
            client.sendall(b'.')
        time.sleep(0.5)
        before = server.cpu()
        time.sleep(1)
        check(server.cpu() - before < 0.3, f'{server.cpu() - before:.2f} s of processor time in a second of waiting')
        for client in clients:  # each that ends makes room for another
            equal(client.recv(1), b'.')
            client.close()


@law
def limit():
    """--connections bounds how many are served at a time"""
    with Server(ECHO, '--connections', 2) as server, server.connect() as a, server.connect() as b, server.connect() as c:
        for client in a, b, c:
            client.sendall(b'.')
        equal(a.recv(1) + b.recv(1), b'..')
        c.settimeout(0.3)
        try:
            check(not c.recv(1), 'a third one is served')
        except socket.timeout:
            pass
        c.settimeout(20)
        a.close()
        equal(c.recv(1), b'.')


run()
