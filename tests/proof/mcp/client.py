"""The MCP client of the Python SDK; URL, ADMIN and OTHER (a token for another service) are in the environment."""

import os
import sys
from urllib.parse import parse_qsl, urlparse

import httpx2
from mcp import Client
from mcp.client.auth import OAuthClientProvider, TokenStorage
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata

sys.path.append(".")
from checks import check  # noqa: E402

URL, ADMIN = os.environ["URL"], os.environ["ADMIN"]
METADATA = OAuthClientMetadata(client_name="proof", redirect_uris=["http://127.0.0.1:1/callback"])


class Kept(TokenStorage):
    tokens = client = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client


class Browser:
    """A user agent whose user agrees."""

    async def open(self, url):
        async with httpx2.AsyncClient() as client:
            response = await client.get(url)
        assert response.status_code == 302, response.text
        self.back = dict(parse_qsl(urlparse(response.headers["location"]).query))

    async def result(self):
        return AuthorizationCodeResult(**self.back)


def provider(url, kept):
    browser = Browser()
    return OAuthClientProvider(url, METADATA, kept, browser.open, browser.result)


async def call(url, tool, arguments=None, **options):
    seen = []

    async def progress(part, *_):
        seen.append(part)

    async with httpx2.AsyncClient(timeout=20, **options) as http:
        async with Client(streamable_http_client(url, http_client=http)) as client:
            listed = [one.name for one in (await client.list_tools()).tools]
            assert tool in listed, listed
            result = await client.call_tool(tool, arguments or {}, progress_callback=progress)
            assert not result.is_error, result
            return result.structured_content["result"], seen


kept = Kept()


@check("mcp for Python: without a token, and with one for another service, there is no session")
async def _():
    for headers in [{}, {"authorization": f"Bearer {os.environ['OTHER']}"}]:
        seen = []

        async def note(response, seen=seen):
            seen.append(response.status_code)

        try:
            await call(URL, "who", headers=headers, event_hooks={"response": [note]})
        except Exception:  # of a kind that the SDK does not name
            assert set(seen) == {401}, seen
        else:
            raise AssertionError("there is a session")


@check("mcp for Python: it finds the authorization server, gets a token and calls a tool")
async def _():
    (user, authorization), _ = await call(URL, "who", auth=provider(URL, kept))
    assert (user, authorization) == ("mona", None), (user, authorization)
    assert kept.tokens.scope == "tools.read", kept.tokens


@check("mcp for Python: news of a call that takes a while arrive before its result")
async def _():
    notes, news = await call(URL, "read", auth=provider(URL, kept))
    assert (notes, news) == (["first"], [1, 2, 3]), (notes, news)


@check("mcp for Python: a 403 of a tool that writes makes it ask for more, and the call succeeds")
async def _():
    before = kept.tokens.access_token
    result, _ = await call(ADMIN, "write", {"note": "second"}, auth=provider(ADMIN, kept))
    assert result == 2, result
    assert kept.tokens.access_token != before and set(kept.tokens.scope.split()) == {"tools.read", "tools.write"}
