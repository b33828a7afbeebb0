#!/usr/bin/env python3
"""Connections that do nothing, after one request or without any; one that ends is opened again.
Says `ready` once all are there, and holds them until its input ends.

    idle.py PORT COUNT silent|kept
"""

import select
import socket
import sys

REQUEST = b"GET /attacked/x HTTP/1.1\r\nhost: localhost\r\n\r\n"


def connect(port, kind):
    connection = socket.create_connection(("127.0.0.1", port))
    if kind == "kept":
        connection.sendall(REQUEST)
        connection.recv(4096)
    return connection


def main():
    port, count, kind = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    poll = select.poll()
    poll.register(sys.stdin, select.POLLIN | select.POLLHUP)
    held = {}

    def hold():
        connection = connect(port, kind)
        held[connection.fileno()] = connection
        poll.register(connection, select.POLLIN | select.POLLHUP)

    for _ in range(count):
        hold()
    print("ready", flush=True)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == sys.stdin.fileno():
                return
            poll.unregister(descriptor)
            held.pop(descriptor).close()
            hold()


main()
