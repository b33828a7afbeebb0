"""A WebSocket service with the package `websockets`; PORT is its argument."""

import asyncio
import json
import sys

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

ends = asyncio.Queue()


async def respond(socket, message):
    match message:
        case "who":
            headers = socket.request.headers
            await socket.send(json.dumps({"user": headers.get("x-user-id"), "path": socket.request.path}))
        case "ping me":
            latency = await (await socket.ping(b"are you there"))
            await socket.send(f"{latency:f}")
        case "close me":
            await socket.close(4001, "enough")
        case "how did the last one end":
            await socket.send(json.dumps(await ends.get()))
        case _:
            await socket.send(message)


async def handle(socket):
    try:
        async for message in socket:
            await respond(socket, message)
    except ConnectionClosed:
        pass
    await ends.put([socket.close_code, socket.close_reason])


def choose(_, offered):
    return "chat" if "chat" in offered else None


async def main(port):
    async with serve(handle, "127.0.0.1", port, select_subprotocol=choose, max_size=None) as server:
        await server.serve_forever()


asyncio.run(main(int(sys.argv[1])))
