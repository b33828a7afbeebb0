#!/usr/bin/env python3
"""What an idle connection costs in memory, by what it was used for before: opens COUNT connections of
each kind, and prints a row of a table for each.

    connections.py PORT TLS_PORT PID COUNT
"""

import socket
import ssl
import struct
import sys
import time

from ordinary import memory, token

HOST = b"host: localhost\r\n"
PUBLIC = b"GET /attacked/x HTTP/1.1\r\n" + HOST + b"\r\n"
UPGRADE = (
    b"GET /attacked/x HTTP/1.1\r\n" + HOST + b"connection: upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def field(name, value):
    """A field without indexing (RFC 7541, 6.2.2), whose value has fewer than 127 bytes."""
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def http2():
    path = field(b":path", b"/attacked/x")
    head = b"\x82\x86" + path + field(b":authority", b"localhost")
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    return preface + frame(4, 0, 0) + frame(4, 1, 0) + frame(1, 5, 1, head)


def ends_stream(answer):
    """Whether frames of HTTP/2 have the end of a stream among them."""
    while len(answer) >= 9:
        length, kind, flags = int.from_bytes(answer[:3], "big"), answer[3], answer[4]
        if kind in (0, 1) and flags & 1:
            return True
        answer = answer[9 + length :]
    return False


def use(connection, request, is_over):
    """Sends a request and reads its response to the end."""
    connection.sendall(request)
    answer = b""
    while not is_over(answer):
        answer += connection.recv(4096) or sys.exit(f"a connection ended: {answer!r}")


def main():
    port, tls_port, pid, count = (int(argument) for argument in sys.argv[1:5])
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    bearer = PUBLIC.replace(b"attacked", b"ordinary").replace(HOST, HOST + f"authorization: Bearer {token()}\r\n".encode())
    json, head, frames = (lambda answer: answer.endswith(b"{}")), (lambda answer: answer.endswith(b"\r\n\r\n")), ends_stream
    kinds = [
        ("no request", port, None, None),
        ("HTTP/1.1, public route", port, PUBLIC, json),
        ("HTTP/1.1, token", port, bearer, json),
        ("HTTP/1.1 with TLS", tls_port, PUBLIC, json),
        ("HTTP/2", port, http2(), frames),
        ("WebSocket", port, UPGRADE, head),
    ]
    print("| idle connection after | KB each |\n| --- | ---: |")
    held = []
    for name, to, request, is_over in kinds:
        before = memory(pid, "VmRSS")
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", to))
            if to == tls_port:
                connection = tls.wrap_socket(connection)
            if request:
                use(connection, request, is_over)
            held.append(connection)
        time.sleep(1)
        print(f"| {name} | {(memory(pid, 'VmRSS') - before) * 1024 / count:.1f} |", flush=True)
    # Memory of one kind must not be that of another: all connections stay open to the end.


main()
