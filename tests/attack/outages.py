#!/usr/bin/env python3
"""The other sides of `outages`.

    outages.py post PORT SECONDS CONNECTIONS   requests with an idempotency key, one after the other
    outages.py recover PORT                    how long it takes until one is answered with 200
    outages.py servers                         key servers that send for ever, and a good one; prints
                                               their names and ports
"""

import asyncio
import collections
import http.client
import sys
import threading
import time
import uuid

from ordinary import connect, token

KEYS = b'{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k","x":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE"}]}'
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKS = OK + b"transfer-encoding: chunked\r\n\r\n"

# How an answer begins, what comes again and again, and the pause in between.
ENDLESS = {
    "interim": (b"", b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" * 1000, 0),
    "header": (OK, b"x: y\r\n" * 1000, 0),
    "body": (OK + b"\r\n{", b" " * 65536, 0),
    "chunks": (CHUNKS, b"1\r\n \r\n" * 1000, 0),
    "trickle": (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", 0.01),
}


def post(connection, bearer):
    headers = {"authorization": bearer, "idempotency-key": str(uuid.uuid4())}
    connection.request("POST", "/paying/x", b"{}", headers)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def post_until(end, port, bearer, statuses):
    connection = connect(port)
    while time.monotonic() < end:
        try:
            statuses[post(connection, bearer)] += 1
        except (OSError, http.client.HTTPException) as error:
            statuses[type(error).__name__] += 1
            connection.close()


def posts(port, seconds, connections):
    bearer, end = f"Bearer {token()}", time.monotonic() + seconds
    counts = [collections.Counter() for _ in range(connections)]
    threads = [threading.Thread(target=post_until, args=(end, port, bearer, count)) for count in counts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    total = sum(counts, collections.Counter())
    print("requests with a key:", ", ".join(f"{count} x {status}" for status, count in sorted(total.items(), key=str)))
    if set(total) - {200, 503}:
        sys.exit(1)


def recover(port):
    bearer, began = f"Bearer {token()}", time.monotonic()
    while post(connect(port), bearer) != 200:
        if time.monotonic() > began + 60:
            sys.exit("keys are not taken after a minute")
        time.sleep(0.02)
    print(f"keys are taken again after {time.monotonic() - began:.2f} s")


def answering(begin, again, pause):
    async def answer(reader, writer):
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(begin)
            while again:
                writer.write(again)
                await writer.drain()
                await asyncio.sleep(pause)
            await writer.drain()
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    return answer


async def servers():
    good = OK + b"content-length: %d\r\n\r\n%s" % (len(KEYS), KEYS)
    for name, (begin, again, pause) in {**ENDLESS, "good": (good, b"", 0)}.items():
        server = await asyncio.start_server(answering(begin, again, pause), "127.0.0.1", 0)
        print(name, server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


def main():
    match sys.argv[1:]:
        case ["post", port, seconds, connections]:
            posts(int(port), float(seconds), int(connections))
        case ["recover", port]:
            recover(int(port))
        case ["servers"]:
            asyncio.run(servers())
        case _:
            sys.exit(__doc__)


main()
