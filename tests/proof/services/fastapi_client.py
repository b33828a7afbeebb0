"""httpx as a user of the FastAPI application; URL, TOKEN and EXPIRED are in the environment."""

import asyncio
import hashlib
import os
import re
import sys
from urllib.parse import urljoin

import httpx

sys.path.append("..")
from checks import check  # noqa: E402

URL = os.environ["URL"]
BEARER = {"authorization": f"Bearer {os.environ['TOKEN']}"}


def client(headers=BEARER):
    return httpx.Client(base_url=URL, headers=headers, timeout=20)


@check("fastapi: without a token each path but the documentation is a 401")
def _():
    with client({}) as anyone:
        for method, path in [("GET", "/me"), ("POST", "/notes/"), ("POST", "/files"), ("GET", "/events"), ("GET", "/")]:
            response = anyone.request(method, path)
            assert response.status_code == 401, (path, response)
            assert response.headers["www-authenticate"].startswith("Bearer "), response.headers
            assert response.headers["x-sidegate-reason"] == "credential_missing", response.headers


@check("fastapi: an expired token is a 401 that says so")
def _():
    with client({"authorization": f"Bearer {os.environ['EXPIRED']}"}) as late:
        response = late.get("/me")
        assert (response.status_code, response.headers["x-sidegate-reason"]) == (401, "token_expired"), response
        assert 'error="invalid_token"' in response.headers["www-authenticate"]


@check("fastapi: the service sees who calls, whatever the client says")
def _():
    with client() as anna:
        for forged in [{}, {"x-user-id": "root", "x-user-roles": "admin"}, {"X_USER_ID": "root", "x_user_roles": "admin"}]:
            seen = anna.get("/me", headers=forged).json()
            assert seen == {"user": "anna", "roles": "author,reader", "tenant": "acme"}, seen


@check("fastapi: a JSON body is validated by the service, and its errors arrive")
def _():
    with client() as anna:
        response = anna.post("/notes/", json={"title": "tea", "stars": 3})
        assert (response.status_code, response.json()["author"]) == (201, "anna"), response.text
        response = anna.post("/notes/", json={"stars": "many"})
        assert response.status_code == 422 and len(response.json()["detail"]) == 2, response.text


@check("fastapi: a redirect to the path with a slash leads through Sidegate again")
def _():
    with client() as anna:
        response = anna.post("/notes", json={"title": "tea"}, follow_redirects=True)
        assert [hop.status_code for hop in response.history] == [307], response.history
        assert str(response.url) == f"{URL}/notes/" and response.status_code == 201, response


@check("fastapi: files are uploaded as forms")
def _():
    content = os.urandom(5 * 1024 * 1024)
    with client() as anna:
        response = anna.post("/files", files={"file": ("tee und käse.bin", content)})
        expected = {"name": "tee und käse.bin", "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        assert response.json() == expected, response.text


@check("fastapi: a body of unknown length is uploaded in chunks")
def _():
    def form():
        yield b'--b\r\ncontent-disposition: form-data; name="file"; filename="f"\r\n\r\n'
        for _ in range(64):
            yield b"x" * 16_384
        yield b"\r\n--b--\r\n"

    with client() as anna:
        response = anna.post("/files", content=form(), headers={"content-type": "multipart/form-data; boundary=b"})
        assert response.json()["size"] == 64 * 16_384, response.text


# The service sends the next number when it hears of the last one: what is held back somewhere never ends.
@check("fastapi: each part of a stream arrives before the next one is sent")
async def _():
    async with httpx.AsyncClient(base_url=URL, headers=BEARER, timeout=20) as anna:
        numbers = []
        async with anna.stream("GET", "/events") as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            async for line in response.aiter_lines():
                if line.startswith("data: "):
                    numbers.append(int(line[6:]))
                    assert (await anna.post("/acknowledge")).status_code == 204
        assert numbers == [0, 1, 2, 3, 4], numbers


@check("fastapi: 100 requests at once over kept connections")
async def _():
    async with httpx.AsyncClient(base_url=URL, headers=BEARER, timeout=20) as anna:
        seen = await asyncio.gather(*(anna.get("/me", headers={"accept": str(n)}) for n in range(100)))
        assert {response.status_code for response in seen} == {200}


@check("fastapi: the page of the documentation finds its description below the prefix")
def _():
    with client({}) as anyone:
        page = anyone.get("/docs")
        found = re.search(r"url: '([^']+)'", page.text)
        assert page.status_code == 200 and found, page.text
        description = anyone.get(urljoin(str(page.url), found[1])).json()
        assert description["info"]["title"] == "Notes" and description["servers"] == [{"url": "/api"}], description
