"""The client of the package `websockets`; URL and TOKEN are in the environment."""

import asyncio
import json
import os
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

sys.path.append("..")
from checks import check  # noqa: E402

BEARER = {"Authorization": f"Bearer {os.environ['TOKEN']}"}


def room(path="/rooms/1", headers=BEARER, **options):
    return connect(os.environ["URL"] + path, additional_headers=headers, max_size=None, **options)


async def ask(socket, message):
    await socket.send(message)
    return await asyncio.wait_for(socket.recv(), 20)


@check("websockets: a bad token is a 401, also on the way to nowhere")
async def _():
    for path in ["/rooms/1", "/rooms/2/x"]:
        try:
            async with room(path, {"Authorization": "Bearer no.token.this"}):
                raise AssertionError("it is open")
        except InvalidStatus as error:
            assert error.response.status_code == 401, error
            assert error.response.headers["x-sidegate-reason"].startswith("token_"), error.response.headers


@check("websockets: the service sees who calls, whatever the client says")
async def _():
    async with room("/rooms/7?since=3", {**BEARER, "X-User-Id": "root"}) as socket:
        assert json.loads(await ask(socket, "who")) == {"user": "cleo", "path": "/rooms/7?since=3"}
    async with room("/lobby", {"X-User-Id": "root"}) as socket:
        assert json.loads(await ask(socket, "who"))["user"] is None


@check("websockets: text, bytes, and messages in several frames come back")
async def _():
    async with room() as socket:
        for message in ["", "hällo", b"", bytes(range(256))]:
            assert await ask(socket, message) == message
        assert await ask(socket, ["a", "b", "c" * 70_000]) == "ab" + "c" * 70_000


@check("websockets: a message of 16 MiB comes back, compressed and not")
async def _():
    large = os.urandom(16 * 1024 * 1024)
    for compression in [None, "deflate"]:
        async with room(compression=compression) as socket:
            assert bool(socket.protocol.extensions) == bool(compression)
            assert await ask(socket, large) == large


@check("websockets: 1000 messages on the way at once keep their order")
async def _():
    async with room() as socket:
        await asyncio.gather(*(socket.send(str(number)) for number in range(1000)))
        assert [await socket.recv() for _ in range(1000)] == [str(number) for number in range(1000)]


@check("websockets: pings of both sides are answered by the other")
async def _():
    async with room() as socket:
        assert await asyncio.wait_for(await socket.ping(b"payload"), 20) >= 0
        assert float(await ask(socket, "ping me")) >= 0


@check("websockets: the chosen subprotocol is that of the service")
async def _():
    async with room(subprotocols=["other", "chat"]) as socket:
        assert socket.subprotocol == "chat"


@check("websockets: the close code and reason of the service reach the client")
async def _():
    async with room() as socket:
        try:
            await ask(socket, "close me")
            raise AssertionError("it is open")
        except ConnectionClosed as closed:
            assert (closed.rcvd.code, closed.rcvd.reason) == (4001, "enough"), closed


@check("websockets: the close code and reason of the client reach the service")
async def _():
    async with room() as watcher:
        while True:
            async with room() as socket:
                await socket.close(4321, "good bye")
            code, reason = json.loads(await ask(watcher, "how did the last one end"))
            if code == 4321:
                assert reason == "good bye"
                break


@check("websockets: a client that vanishes is closed towards the service as well")
async def _():
    async with room() as watcher:
        async with room() as socket:
            socket.transport.abort()
        while json.loads(await ask(watcher, "how did the last one end"))[0] != 1006:
            pass
