#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""httpd.py HTTPD: the laws of docs/examples/httpd."""

import email.utils
import os
import re
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path

from programs import Server, check, check_usage, command, drain, equal, law, run, tool

HTTPD = os.path.abspath(sys.argv[1])
SIZES = {'empty.txt': 0, 'one.txt': 1, 'small.html': 100, 'middle.bin': 20_000, 'large.bin': 9_000_001}

folder = tempfile.TemporaryDirectory()
www = Path(folder.name, 'www')
(www / 'with index').mkdir(parents=True)
(www / 'sub' / 'below').mkdir(parents=True)
content = {name: os.urandom(size) for name, size in SIZES.items()}
for file, data in content.items():
    (www / file).write_bytes(data)
(www / 'with index' / 'index.html').write_text('<p>index')
(www / 'sub' / '<a&b>%"ü.txt').write_text('odd')
(www / 'sub' / 'outside').symlink_to('/etc/passwd')
(www / 'sub' / 'inside').symlink_to('../one.txt')
os.mkfifo(www / 'sub' / 'fifo')
Path(folder.name, 'secret').write_text('secret')


def curl(server, path, *words, status=0):
    """What curl prints, with the headers first if one of the words is -i."""
    return command(tool('curl'), '-s', '-m', 30, *words, f'http://127.0.0.1:{server.port}{path}', status=status).stdout


def ask(server, request):
    """Sends just these bytes. @return all that comes until the server ends the connection"""
    with server.connect() as client:
        client.sendall(request)
        return drain(client)


def code(answer):
    match = re.match(rb'HTTP/1\.1 (\d+) [A-Z]', answer)
    return int(match[1]) if match else answer[:40]


def headers(answer):
    head = answer.partition(b'\r\n\r\n')[0].decode().split('\r\n')[1:]
    return {line.split(': ')[0].lower(): line.split(': ', 1)[1] for line in head}


def serve(*words, **more):
    return Server(HTTPD, *words, www, **more)


@law
def options():
    """wrong options and folders are complained about"""
    check_usage(HTTPD)
    check('cannot serve' in command(HTTPD, '/no/such', status=1).errors, 'no complaint')


@law
def get():
    """curl gets files of all sizes, by IPv4 and IPv6"""
    with serve() as server:
        for name in SIZES:
            answer = curl(server, f'/{name}', '-i')
            equal(code(answer), 200)
            check(answer.partition(b'\r\n\r\n')[2] == content[name], f'{name} is not the same')
            equal(int(headers(answer)['content-length']), SIZES[name], name)
        check(command(tool('curl'), '-s', '-g', f'http://[::1]:{server.port}/large.bin').stdout == content['large.bin'], 'IPv6')


@law
def head():
    """HEAD has the headers of GET, and no body"""
    with serve() as server:
        for path in '/large.bin', '/small.html', '/', '/none':
            got, heads = headers(curl(server, path, '-i')), headers(curl(server, path, '-I'))
            got.pop('date'), heads.pop('date')
            equal(heads, got, path)
        equal(ask(server, b'HEAD /one.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n').partition(b'\r\n\r\n')[2], b'')


@law
def fields():
    """headers: date, type, time of change, length"""
    with serve() as server:
        found = headers(curl(server, '/small.html', '-i'))
        equal(found['content-type'], 'text/html; charset=utf-8')
        equal(found['last-modified'], email.utils.formatdate((www / 'small.html').stat().st_mtime, usegmt=True))
        equal(found['accept-ranges'], 'bytes')
        check(abs(email.utils.parsedate_to_datetime(found['date']).timestamp() - time.time()) < 30, found['date'])
        equal(headers(curl(server, '/large.bin', '-I'))['content-type'], 'application/octet-stream')


@law
def keep_alive():
    """curl asks for several files through one connection"""
    with serve() as server:
        urls = [f'http://127.0.0.1:{server.port}/{name}' for name in ('one.txt', 'none', 'small.html', 'large.bin', 'one.txt')]
        words = [word for url in urls for word in ('-o', '/dev/null', url)]
        found = command(tool('curl'), '-s', '-w', '%{http_code} %{num_connects}\n', *words).stdout.decode().split()
        equal(found, '200 1 404 0 200 0 200 0 200 0'.split())
        equal(headers(curl(server, '/one.txt', '-i', '-0', '-H', 'Connection: keep-alive'))['connection'], 'keep-alive')


@law
def closes():
    """HTTP/1.0 and Connection: close end the connection"""
    with serve() as server:
        for request in b'GET /one.txt HTTP/1.0\r\n\r\n', b'GET /one.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n':
            answer = ask(server, request)
            check(answer.endswith(b'\r\n\r\n' + content['one.txt']), answer)
            equal(headers(answer)['connection'], 'close')


@law
def pipelining():
    """several requests in one packet are answered in order (nc), also in single bytes"""
    requests = b''.join(b'GET /%s HTTP/1.1\r\nHost: x\r\n\r\n' % name.encode() for name in SIZES) * 3
    with serve() as server:
        answers = command(tool('nc'), '-N', '127.0.0.1', server.port, stdin=requests).stdout
        for name in list(SIZES) * 3:
            head, _, rest = answers.partition(b'\r\n\r\n')
            equal(code(head), 200)
            check(rest[:SIZES[name]] == content[name], f'not {name}')
            answers = rest[SIZES[name]:]
        equal(answers, b'')
        with server.connect() as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in b'\r\nGET /one.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n':
                client.sendall(bytes([byte]))
            check(drain(client).endswith(b'\r\n\r\n' + content['one.txt']), 'byte by byte')


@law
def ranges():
    """single ranges are served, odd ones ignored, impossible ones refused"""
    size, data = SIZES['large.bin'], content['large.bin']
    with serve() as server:
        for asked, first, last in [('0-0', 0, 0), ('5-9', 5, 9), ('100-', 100, size - 1), ('-7', size - 7, size - 1), (f'-{2 * size}', 0, size - 1),
                                   (f'8000000-{10 * size}', 8000000, size - 1), (f'{size - 1}-', size - 1, size - 1)]:
            answer = curl(server, '/large.bin', '-i', '-r', asked)
            equal(code(answer), 206, asked)
            equal(headers(answer)['content-range'], f'bytes {first}-{last}/{size}')
            check(answer.partition(b'\r\n\r\n')[2] == data[first:last + 1], f'{asked} is not the same')
        for asked in f'{size}-', '-0', '99999999999999999999-', f'{size}-{size + 5}':
            answer = curl(server, '/large.bin', '-i', '-r', asked)
            equal(code(answer), 416, asked)
            equal(headers(answer)['content-range'], f'bytes */{size}')
        equal(code(curl(server, '/empty.txt', '-i', '-r', '0-')), 416)
        for asked in 'bytes=9-5', 'bytes=1-2,4-5', 'bytes=', 'bytes=-', 'bytes=a-b', 'lines=1-2', 'bytes=1-2x':
            equal(code(curl(server, '/middle.bin', '-i', '-H', f'Range: {asked}')), 200, asked)
        modified = headers(curl(server, '/middle.bin', '-I'))['last-modified']
        for condition, wanted in (modified, 206), ('Mon, 01 Jan 2001 00:00:00 GMT', 200), ('"tag"', 200):
            equal(code(curl(server, '/middle.bin', '-i', '-r', '1-2', '-H', f'If-Range: {condition}')), wanted, condition)


@law
def conditions():
    """what has not changed is not sent again (curl -z)"""
    with serve() as server:
        modified = headers(curl(server, '/middle.bin', '-I'))['last-modified']
        answer = curl(server, '/middle.bin', '-i', '-z', modified)
        equal((code(answer), answer.partition(b'\r\n\r\n')[2]), (304, b''))
        equal(code(curl(server, '/middle.bin', '-i', '-H', 'If-Modified-Since: yesterday')), 200)
        equal(code(curl(server, '/middle.bin', '-i', '-H', 'If-Modified-Since: Mon, 01 Jan 2001 00:00:00 GMT')), 200)
        equal(code(curl(server, '/middle.bin', '-i', '-z', modified, '-H', 'If-None-Match: "x"')), 200)


@law
def paths():
    """nothing leads out of the directory"""
    with serve() as server:
        for path in ['/../secret', '/sub/../../secret', '/%2e%2e/secret', '/%2e%2e%2fsecret', '/..%2fsecret', '//etc/passwd', '/%2fetc/passwd', '/sub/outside',
                     '/sub/../../../../../../../../etc/passwd', '/.../secret', '/..\\secret', '/' + '../' * 300 + 'etc/passwd']:
            equal(code(curl(server, path, '-i', '--path-as-is')), 404, path)
        for path in '/%00', '/one.txt%00.html', '/%', '/%4', '/%zz', '/one%2', 'one.txt':
            equal(code(ask(server, f'GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'.encode())), 400, path)
        for path in '/sub/../one.txt', '/one%2Etxt', '/sub/inside', '/./one.txt', '/one.txt?a=../b', 'http://x:1/one.txt', '//one.txt':
            answer = ask(server, f'GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'.encode())
            check(answer.endswith(b'\r\n\r\n' + content['one.txt']), f'{path}: {answer[:200]}')
        equal(code(curl(server, '/sub/fifo', '-i')), 403)
        equal(code(curl(server, '/one.txt/', '-i')), 404)
        equal(code(curl(server, '/' + 'a' * 300, '-i')), 404)


@law
def directories():
    """a directory is its index, or a list"""
    with serve() as server:
        equal(curl(server, '/with%20index/'), b'<p>index')
        moved = curl(server, '/with%20index', '-i')
        equal((code(moved), headers(moved)['location']), (301, '/with%20index/'))
        equal(headers(curl(server, '//sub', '-i', '--path-as-is'))['location'], '/sub/')
        page = curl(server, '/sub/').decode()
        for part in '<a href="below/">below/</a>', '<a href="%3Ca%26b%3E%25%22%C3%BC.txt">&#60;a&#38;b&#62;%&#34;ü.txt</a>', 'href="../"':
            check(part in page, f'no {part} in {page}')
        equal(curl(server, '/sub/%3Ca%26b%3E%25%22%C3%BC.txt'), b'odd')
        check('one.txt' in curl(server, '/').decode() and '..' not in curl(server, '/').decode(), 'the list of all')


@law
def refusals():
    """what is wrong gets its status: 400, 405, 413, 414, 431, 501, 505"""
    with serve() as server:
        equal(code(curl(server, '/', '-i', '-X', 'DELETE')), 405)
        equal(headers(curl(server, '/', '-i', '-X', 'OPTIONS'))['allow'], 'GET, HEAD')
        equal(code(curl(server, '/', '-i', '-d', 'data')), 413)
        equal(code(curl(server, '/', '-i', '-d', f'@{www}/large.bin')), 413)
        equal(code(curl(server, '/', '-i', '-d', 'data', '-H', 'Transfer-Encoding: chunked')), 501)
        equal(code(curl(server, '/', '-i', '-H', 'X: ' + 'x' * 20000)), 431)
        equal(code(ask(server, b'GET / HTTP/1.1\r\n' + b'X: y\r\n' * 10000)), 431)
        equal(code(curl(server, '/' + 'a' * 3000, '-i')), 414)
        for request in [b'\x16\x03\x01\x02\x00', b'GET\r\n\r\n', b'GET / HTTP/1.1\r\n\r\n', b'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n',
                        b'GET / HTTP/1.1\r\nHo st: a\r\n\r\n', b'GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n',
                        b'GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n', b'GET / HTTP/1.1\r\nHost: a\r\nX\0: b\r\n\r\n', b'nonsense\r\n\r\n']:
            equal(code(ask(server, request)), 400, request)
        equal(code(ask(server, b'GET / HTTP/2.0\r\nHost: x\r\n\r\n')), 505)
        equal(code(ask(server, b'GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n')) in (400, 501), True)
        both = ask(server, b'GET /one.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\n\r\nGET /small.html HTTP/1.1\r\n\r\n')
        equal((code(both), both.count(b'HTTP/1.1')), (413, 1), 'a body is no request')
        equal(ask(server, b'GET /one.txt HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: close, Upgrade\r\n\r\n')[-1:], content['one.txt'])


@law
def slow_headers():
    """a request that does not get on is told so, a silent connection is closed"""
    with serve('--header', 1, '--idle', 2) as server, server.connect() as slow, server.connect() as silent, server.connect() as kept:
        kept.sendall(b'GET /one.txt HTTP/1.1\r\nHost: x\r\n\r\n')
        began = time.monotonic()
        for byte in b'GET /one.txt HTTP/1.1\r\nX: ' + b'x' * 1000:
            try:
                slow.sendall(bytes([byte]))
            except ConnectionError:
                break
            time.sleep(0.05)
            if time.monotonic() - began > 1.6:
                break
        try:
            equal(code(slow.recv(1000)), 408)
        except ConnectionError:
            check(time.monotonic() - began > 2, 'reset')  # an answer that was there for two seconds
        equal(silent.recv(100), b'')
        equal(drain(kept)[-1:], content['one.txt'])
        check(1.5 < time.monotonic() - began < 20, 'at another time')


@law
def slow_readers():
    """who does not take the answer is reset"""
    with serve('--send', 1) as server, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(('127.0.0.1', server.port))
        client.sendall(b'GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n')
        time.sleep(4)
        client.settimeout(30)
        try:
            drain(client)
            raise AssertionError('an orderly end')
        except ConnectionError:
            pass
        equal(code(curl(server, '/one.txt', '-i')), 200)


@law
def log():
    """--verbose prints a line for each request, and what is odd in it is escaped"""
    with serve('--verbose') as server:
        curl(server, '/one.txt')
        curl(server, '/a"b\\', '-g')
        curl(server, '/one.txt', '-I')
        server.process.send_signal(signal.SIGTERM)
        lines = server.process.stdout.read().decode().splitlines()
        equal([line.split(' ', 1)[1] for line in lines],
              ['"GET /one.txt HTTP/1.1" 200 1', '"GET /a\\x22b\\x5c HTTP/1.1" 404 14', '"HEAD /one.txt HTTP/1.1" 200 1'])


@law
def quiet():
    """without it nothing more is printed"""
    with serve() as server:
        curl(server, '/one.txt')
        curl(server, '/none')
        server.stop(signal.SIGTERM)
        equal(server.process.stdout.read(), b'')


@law
def wrk():
    """wrk for two seconds: no error"""
    with serve() as server:
        for name, connections in ('small.html', 64), ('middle.bin', 16), ('large.bin', 4):
            text = command(tool('wrk'), '-t1', f'-c{connections}', '-d2s', '--timeout', '10s', f'http://127.0.0.1:{server.port}/{name}').stdout.decode()
            check('Socket errors' not in text and 'Non-2xx' not in text and re.search(r'[1-9]\d* requests in', text), text)


@law
def ab():
    """ab, a connection a request and with keep-alive: no error"""
    with serve() as server:
        for words in [], ['-k']:
            text = command(tool('ab'), '-q', *words, '-c', 32, '-n', 3000, '-s', 30, f'http://127.0.0.1:{server.port}/small.html').stdout.decode()
            check('Failed requests:        0' in text and 'Complete requests:      3000' in text and 'Non-2xx' not in text, text)


run()
