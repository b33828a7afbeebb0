#!/usr/bin/env python3
"""The service behind Sidegate while it is attacked: it reads each request to its end and answers
`{}`, or 16 MiB below `/large`. Prints its port. It never judges what it is sent."""

import asyncio
import base64
import hashlib

LARGE = 16 << 20


async def body(reader, headers):
    if headers.get("transfer-encoding") == "chunked":
        while size := int(await reader.readline(), 16):
            await reader.readexactly(size + 2)
        await reader.readline()
    elif length := int(headers.get("content-length", 0)):
        await reader.readexactly(length)


async def websocket(reader, writer, key):
    """Completes the handshake (RFC 6455, 4.2.2) and is silent until the client ends."""
    digest = hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    accept = base64.b64encode(digest)
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n")
    writer.write(b"sec-websocket-accept: %b\r\n\r\n" % accept)
    await reader.read()


async def serve(reader, writer):
    try:
        while line := await reader.readline():
            target = line.split()[1]
            headers = {}
            while (field := (await reader.readline()).strip()):
                name, _, value = field.decode("latin-1").partition(":")
                headers[name.lower()] = value.strip()
            await body(reader, headers)
            if headers.get("upgrade") == "websocket":
                await websocket(reader, writer, headers["sec-websocket-key"])
                return
            length = LARGE if b"/large" in target else 2
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % length)
            if length == 2:
                writer.write(b"{}")
            for _ in range(length >> 16):
                writer.write(bytes(1 << 16))
                await writer.drain()
            await writer.drain()
    except (OSError, EOFError, IndexError, ValueError):
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
