#!/usr/bin/env python3
"""Connections that do nothing, after one request or without any, or that send requests and read no
response; one that ends is opened again. Says `ready` once all are there, and holds them until its
input ends.

    idle.py PORT COUNT silent|kept|unread
"""

import select
import socket
import sys

REQUEST = b"GET /attacked/x HTTP/1.1\r\nhost: localhost\r\n\r\n"

# Without a token: a 401 with the path in it.
REFUSED = b"GET /ordinary/" + 7000 * b"x" + b" HTTP/1.1\r\nhost: localhost\r\n\r\n"

# How often a client that does not read sends its next request, in seconds.
AGAIN = 1


def connect(port, kind):
    connection = socket.socket()
    if kind == "unread":
        # Few bytes fill all buffers on the way.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
    connection.connect(("127.0.0.1", port))
    if kind == "kept":
        connection.sendall(REQUEST)
        connection.recv(4096)
    if kind == "unread":
        connection.setblocking(False)
        send(connection)
    return connection


def send(connection):
    try:
        connection.send(REFUSED)
    except OSError:
        # Full, or at its end, which the poll tells.
        pass


def main():
    port, count, kind = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    poll = select.poll()
    poll.register(sys.stdin, select.POLLIN | select.POLLHUP)
    held = {}

    def hold():
        connection = connect(port, kind)
        held[connection.fileno()] = connection
        reads = 0 if kind == "unread" else select.POLLIN
        poll.register(connection, reads | select.POLLHUP)

    for _ in range(count):
        hold()
    print("ready", flush=True)
    while True:
        for descriptor, _ in poll.poll(AGAIN * 1000 if kind == "unread" else None):
            if descriptor == sys.stdin.fileno():
                return
            poll.unregister(descriptor)
            held.pop(descriptor).close()
            hold()
        if kind == "unread":
            for connection in held.values():
                send(connection)


main()
