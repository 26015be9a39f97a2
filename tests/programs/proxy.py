#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""proxy.py PROXY: the laws of docs/examples/proxy."""

import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

from programs import Server, becomes, check, check_usage, command, drain, equal, law, run, tool

PROXY = os.path.abspath(sys.argv[1])


@contextmanager
def socat(address):
    """A server: socat listens and connects each client to `address`. Gives the port."""
    path = tool('socat')
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([path, f'TCP4-LISTEN:{port},reuseaddr,fork,bind=127.0.0.1', address], stderr=subprocess.DEVNULL)

    def answers():
        try:
            socket.create_connection(('127.0.0.1', port)).close()
            return True
        except OSError:
            return False

    try:
        becomes('socat listens', answers)
        yield port
    finally:
        process.terminate()
        process.wait()


@contextmanager
def listener(backlog=16):
    with socket.create_server(('127.0.0.1', 0), backlog=backlog) as one:
        one.settimeout(20)
        yield one, one.getsockname()[1]


@law
def options():
    """wrong options are complained about"""
    check_usage(PROXY, 'localhost', '1')
    command(PROXY, 'localhost', status=2)


@law
def half_close():
    """who has ended its side gets the answer that follows"""
    data = os.urandom(2_000_000)
    with socat('SYSTEM:"sha256sum"') as port, Server(PROXY, '127.0.0.1', port) as proxy:
        expected = command('sha256sum', stdin=data).stdout
        equal(command(tool('nc'), '-N', '127.0.0.1', proxy.port, stdin=data).stdout, expected, 'IPv4')
        equal(command(tool('nc'), '-N', '::1', proxy.port, stdin=data).stdout, expected, 'IPv6')


@law
def other_half():
    """a server that has ended its side still hears the client"""
    with listener() as (server, port), Server(PROXY, '127.0.0.1', port) as proxy, proxy.connect() as client:
        far = server.accept()[0]
        with far:
            far.sendall(b'that was all')
            far.shutdown(socket.SHUT_WR)
            equal(drain(client), b'that was all')
            time.sleep(0.2)
            client.sendall(b'and ')
            time.sleep(0.2)
            client.sendall(b'this')
            client.shutdown(socket.SHUT_WR)
            equal(drain(far), b'and this')


@law
def both_ways():
    """much in both directions at once, by several clients"""
    data = os.urandom(20_000_000)
    with socat('EXEC:cat') as port, Server(PROXY, '--workers', 2, '127.0.0.1', port) as proxy:
        found = []
        threads = [threading.Thread(target=lambda: found.append(command(tool('nc'), '-N', '127.0.0.1', proxy.port, stdin=data).stdout))
                   for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        equal([one == data for one in found], [True] * 4)


@law
def names():
    """curl through it; each address of a name is tried"""
    with socat('SYSTEM:"sleep 0.1; printf \'HTTP/1.0 200 OK\\r\\n\\r\\nhello\'"') as port, Server(PROXY, 'localhost', port) as proxy:
        equal(command(tool('curl'), '-s', f'http://127.0.0.1:{proxy.port}/').stdout, b'hello')


@law
def nobody():
    """where nobody answers the client is reset, and --verbose says why"""
    with listener() as (server, port):
        pass
    for words, wanted in ([port], 'refused'), (['no-such-service'], 'cannot connect'):
        with Server(PROXY, '--verbose', '127.0.0.1', *words) as proxy:
            try:  # the reset may come before connect() has looked whether it is connected
                with proxy.connect() as client:
                    check(not client.recv(1), 'an answer from nobody')
                raise AssertionError('an orderly end')
            except ConnectionError:
                pass
            proxy.stop(signal.SIGTERM)
            proxy.errors.seek(0)
            text = proxy.errors.read().decode()
            check(wanted in text, text)


@law
def connect_timeout():
    """--connect-timeout ends an attempt that nobody answers"""
    with listener(backlog=0) as (server, port):
        full = [socket.socket() for _ in range(4)]  # the line is full: further ones hear nothing
        for one in full:
            one.setblocking(False)
            one.connect_ex(('127.0.0.1', port))
        time.sleep(0.1)
        with Server(PROXY, '--connect-timeout', 1, '127.0.0.1', port) as proxy, proxy.connect() as client:
            began = time.monotonic()
            try:
                client.recv(1)
            except ConnectionError:
                pass
            took = time.monotonic() - began
            check(0.5 < took < 15, f'after {took:.1f} s')
        for one in full:
            one.close()


@law
def broken():
    """a stream that breaks on one side is no whole one on the other"""
    for breaks in 'server', 'client':
        with listener() as (server, port), Server(PROXY, '127.0.0.1', port) as proxy:
            client = proxy.connect()
            far = server.accept()[0]
            far.sendall(b'half')
            equal(client.recv(4), b'half')
            one, other = (far, client) if breaks == 'server' else (client, far)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            one.close()
            other.settimeout(20)
            try:
                check(not other.recv(1), 'more than was sent')
                raise AssertionError(f'the {breaks} broke it, and an orderly end came')
            except ConnectionError:
                pass
            other.close()


@law
def idle():
    """--idle ends what is silent both ways, not what is silent one way"""
    with listener() as (server, port), Server(PROXY, '--idle', 3, '127.0.0.1', port) as proxy, proxy.connect() as client:
        far = server.accept()[0]
        with far:
            for _ in range(25):
                time.sleep(0.2)
                far.sendall(b'.')
                equal(client.recv(1), b'.')
            began = time.monotonic()
            try:
                client.recv(1)
            except ConnectionError:
                pass
            took = time.monotonic() - began
            check(0.5 < took < 15, f'after {took:.1f} s')


@law
def leaves_nothing():
    """descriptors come back, whatever ends a connection"""
    with listener(200) as (server, port), Server(PROXY, '127.0.0.1', port) as proxy:
        most = proxy.descriptors() + 10  # the workers open some when they have begun
        for i in range(200):
            client = proxy.connect()
            far = server.accept()[0]
            client.sendall(b'x')
            for one in (client, far) if i % 2 else (far, client):
                if i % 3 == 0:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
                one.close()
        becomes('as few descriptors as before', lambda: proxy.descriptors() <= most)


run()
