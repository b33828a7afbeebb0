"""Whole requests through the release program, one after the other over one connection, while callgrind
counts its instructions."""

import re
import socket
import struct
import subprocess

import http2
import sidegate
from cases import CASES
from load import request
from processes import Failed, free_port

# What is warm after so many requests stays warm: pools, token cache, buffers.
WARM_UP, COUNTED = 200, 2000


def cases():
    """Those of the benchmark whose instructions are counted, by name."""
    known = {case.name: case for case in CASES}
    return {f"request-{name}": known[name] for name in ("public", "hs256", "grpc", "https", "idempotency")}


def count(lab, case, env=()):
    """Instructions of one request."""
    folder = lab.folder_for(f"through-{case.name}")
    process = sidegate.start(lab, case, folder, free_port(), under=["valgrind", "--tool=callgrind"], env=env)
    try:
        sender = client(lab, case, process.port)
        sender.send(WARM_UP)
        control(folder, process, "--zero")
        sender.send(COUNTED)
        control(folder, process, "--dump")
    finally:
        process.stop()
    totals = [re.search(r"^(?:summary|totals): (\d+)", dump.read_text(), re.M) for dump in folder.glob("callgrind.out.*.1")]
    if len(totals) != 1 or totals[0] is None:
        raise Failed(f"{case.name}: callgrind left no count")
    return round(int(totals[0][1]) / COUNTED)


def client(lab, case, port):
    """A client as the case needs it, with a connection."""
    return (Http2 if case.is_http2 else Http1)(lab, case, port)


def control(folder, process, what):
    # It speaks of success in words only.
    command = ["callgrind_control", what, str(process.popen.pid)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    if done.returncode or "OK" not in done.stdout:
        raise Failed(f"{' '.join(command)}: {done.stdout}{done.stderr}")


class Http1:
    """A client over HTTP/1.1."""

    def __init__(self, lab, case, port):
        self.case, self.token = case, lab.token(case.algorithm)
        self.connection = socket.create_connection(("127.0.0.1", port), timeout=30)

    def send(self, count):
        for _ in range(count):
            self.connection.sendall(request(self.case, self.token).encode())
            answer = b""
            while not (b"\r\n\r\n" in answer and answer.endswith(b"ok")):
                more = self.connection.recv(4096)
                if not more or not (answer + more).startswith(b"HTTP/1.1 200"):
                    raise Failed(f"{self.case.name}: {(answer + more)[:400]!r}")
                answer += more


class Http2:
    """A client over HTTP/2 in clear text, one stream at a time."""

    def __init__(self, lab, case, port):
        self.case, self.stream = case, -1
        self.block = http2.literal(http2.fields(case, lab.token(case.algorithm)))
        self.connection = socket.create_connection(("127.0.0.1", port), timeout=30)
        # A request does not wait until what came before is acknowledged.
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection.sendall(http2.PREFACE + http2.frame(http2.SETTINGS, 0, 0))
        self.buffered = self.connection.makefile("rb")

    def send(self, count):
        for _ in range(count):
            self.stream += 2
            head = http2.frame(http2.HEADERS, http2.END_HEADERS, self.stream, self.block)
            body = http2.frame(http2.DATA, http2.END_STREAM, self.stream, b"0" * self.case.upload)
            self.connection.sendall(head + body)
            while not self._ends():
                pass

    def _ends(self):
        """Reads a frame; whether it is the last one of the stream."""
        head = self.buffered.read(9)
        if len(head) < 9:
            raise Failed(f"{self.case.name}: the connection ended")
        length, kind, flags, stream = http2.head_of(head)
        payload = self.buffered.read(length)
        if kind in (http2.SETTINGS, http2.PING) and not flags & http2.ACK:
            self.connection.sendall(http2.frame(kind, http2.ACK, 0, payload if kind == http2.PING else b""))
        if kind == http2.DATA and length:
            self.connection.sendall(http2.frame(http2.WINDOW_UPDATE, 0, 0, struct.pack(">I", length)))
        if kind not in (http2.DATA, http2.HEADERS, http2.SETTINGS, http2.PING, http2.WINDOW_UPDATE):
            raise Failed(f"{self.case.name}: a frame of type {kind}: {payload!r}")
        return stream == self.stream and kind in (http2.DATA, http2.HEADERS) and bool(flags & http2.END_STREAM)
