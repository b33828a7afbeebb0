"""Load at a fixed rate over kept connections: a thread sends at moments drawn at random, another reads."""

import collections
import random
import select
import socket
import threading
import time

import http2
from load import request
from processes import Failed

# Before anything counts: connections, workers and pools come to rest.
SETTLE = 0.3
# How long an answer may take, and how often it is looked for where all connections are busy.
PATIENCE, GLANCE = 10, 0.0001


class Http1:
    """One request at a time."""

    def __init__(self, case, token, port):
        self.socket, self.capacity = _connect(port), 1
        self.request = request(case, token).encode()
        self.answer = b""

    def send(self):
        self.socket.sendall(self.request)

    def receive(self):
        """How many answers have come to their end."""
        self.answer += _received(self.socket)
        if not self.answer.endswith(b"\r\n\r\nok"):
            return 0
        if not self.answer.startswith(b"HTTP/1.1 200 "):
            raise Failed(f"an answer begins with {self.answer[:100]!r}")
        self.answer = b""
        return 1


class Http2:
    """Several streams, in clear text."""

    def __init__(self, case, token, port):
        self.socket, self.capacity = _connect(port), case.streams
        self.stream, self.buffer = -1, b""
        fields = http2.fields(case, token)
        self.block, self.later = http2.added(fields), http2.indexed(fields)
        self._frame(http2.SETTINGS, 0, prefix=http2.PREFACE)
        # As many bytes as there can be, of all answers together.
        self._frame(http2.WINDOW_UPDATE, 0, (2**31 - 2**16).to_bytes(4, "big"))

    def _frame(self, kind, flags, payload=b"", stream=0, prefix=b""):
        self.socket.sendall(prefix + http2.frame(kind, flags, stream, payload))

    def send(self):
        self.stream += 2
        self._frame(http2.HEADERS, http2.END_HEADERS | http2.END_STREAM, self.block, self.stream)
        self.block = self.later

    def receive(self):
        self.buffer += _received(self.socket)
        ended = 0
        while len(self.buffer) >= 9:
            length, kind, flags, _ = http2.head_of(self.buffer)
            if len(self.buffer) < 9 + length:
                break
            payload, self.buffer = self.buffer[9 : 9 + length], self.buffer[9 + length :]
            if kind in (http2.SETTINGS, http2.PING) and not flags & http2.ACK:
                self._frame(kind, http2.ACK, payload if kind == http2.PING else b"")
            elif kind == http2.DATA and payload not in (b"ok", b""):
                raise Failed(f"an answer has the body {payload!r}")
            elif kind not in (http2.DATA, http2.HEADERS, http2.SETTINGS, http2.PING, http2.WINDOW_UPDATE):
                raise Failed(f"a frame of type {kind}: {payload!r}")
            ended += kind in (http2.DATA, http2.HEADERS) and bool(flags & http2.END_STREAM)
        return ended


class Pacer:
    """The connections to a process, for as long as it is asked."""

    def __init__(self, lab, case, process):
        kind, token = Http2 if case.is_http2 else Http1, lab.token(case.algorithm)
        self.connections = [kind(case, token, process.port) for _ in range(case.connections)]
        # Each as often as it takes a request more, the one that waited longest first.
        self.idle = collections.deque(self.connections * self.connections[0].capacity)
        self.sent = self.answered = 0
        self.failure, self.ended = None, False
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def run(self, seconds, rate, seed):
        """Requests that were answered, and the time that it took."""
        moments, begun, before = random.Random(seed), time.monotonic(), self.answered
        due = begun
        while (due := due + moments.expovariate(rate)) < begun + seconds:
            time.sleep(max(0, due - time.monotonic()))
            self._until(lambda: self.idle)
            self.idle.popleft().send()
            self.sent += 1
        self._until(lambda: self.answered == self.sent)
        return self.answered - before, time.monotonic() - begun

    def _until(self, holds):
        end = time.monotonic() + PATIENCE
        while not holds():
            if self.failure or time.monotonic() > end:
                raise Failed(self.failure or "answers do not come")
            time.sleep(GLANCE)

    def _read(self):
        by_number = {each.socket.fileno(): each for each in self.connections}
        poll = select.epoll()
        for number in by_number:
            poll.register(number, select.EPOLLIN)
        try:
            while not self.ended:
                for number, _ in poll.poll(0.1):
                    ended = by_number[number].receive()
                    self.idle.extend([by_number[number]] * ended)
                    self.answered += ended
        except (Failed, OSError) as failure:
            self.failure = str(failure)
        finally:
            poll.close()

    def close(self):
        self.ended = True
        self.reader.join()
        for each in self.connections:
            each.socket.close()


def _connect(port):
    connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _received(connection):
    data = connection.recv(65536)
    if not data:
        raise Failed("a connection ended")
    return data
