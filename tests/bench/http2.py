"""As much of HTTP/2 and HPACK as a client of the benchmark needs."""

import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 4, 6, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1

# The first entry of the dynamic table (RFC 7541, 2.3.3).
DYNAMIC = 62


def fields(case, token):
    """What a request of the case has in its head."""
    pseudo = {":method": case.method, ":scheme": "http", ":path": case.path, ":authority": "localhost"}
    return [(name.encode(), value.encode()) for name, value in {**pseudo, **case.headers(token)}.items()]


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def head_of(data):
    """Length, type, flags and stream of the frame that begins here."""
    return int.from_bytes(data[:3], "big"), data[3], data[4], int.from_bytes(data[5:9], "big")


def literal(fields):
    """A block that leaves the dynamic table as it is (RFC 7541, 6.2.2)."""
    return b"".join(b"\x00" + _text(name) + _text(value) for name, value in fields)


def added(fields):
    """A block that adds its fields to the dynamic table (RFC 7541, 6.2.1)."""
    return b"".join(b"\x40" + _text(name) + _text(value) for name, value in fields)


def indexed(fields):
    """The same block once they are there, the last one first (RFC 7541, 6.1)."""
    assert len(fields) <= 64
    return bytes(0x80 | DYNAMIC + at for at in reversed(range(len(fields))))


def _text(value):
    """A string (RFC 7541, 5.2), its length with a prefix of 7 bits."""
    if len(value) < 127:
        return bytes([len(value)]) + value
    rest, length = len(value) - 127, bytes([127])
    while rest >= 128:
        length, rest = length + bytes([rest % 128 | 128]), rest // 128
    return length + bytes([rest]) + value
