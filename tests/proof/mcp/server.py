"""An MCP server with the Python SDK: tools for reading at /mcp, and one for writing at /mcp/admin. No tokens here."""

import sys
from contextlib import AsyncExitStack, asynccontextmanager

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from starlette.applications import Starlette

reading = MCPServer("reading")
writing = MCPServer("writing")
notes = ["first"]


@reading.tool()
def who(context: Context) -> list[str | None]:
    """Who calls, and the credential that came along."""
    return [context.headers.get("x-user-id"), context.headers.get("authorization")]


@reading.tool()
async def read(context: Context) -> list[str]:
    """All notes, with news about how far it is."""
    for part in range(3):
        await context.report_progress(part + 1, 3)
    return notes


@writing.tool()
def write(note: str) -> int:
    """Adds a note."""
    notes.append(note)
    return len(notes)


apps = [
    reading.streamable_http_app(streamable_http_path="/mcp"),
    writing.streamable_http_app(streamable_http_path="/mcp/admin"),
]


@asynccontextmanager
async def lifespan(_):
    async with AsyncExitStack() as stack:
        for server in [reading, writing]:
            await stack.enter_async_context(server.session_manager.run())
        yield


app = Starlette(routes=[route for one in apps for route in one.routes], lifespan=lifespan)
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error")
