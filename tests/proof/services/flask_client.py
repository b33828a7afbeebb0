"""requests as a user of the Flask application; URL, TOKEN and REPORTS are in the environment."""

import os
import sys

import requests

sys.path.append("..")
from checks import check  # noqa: E402

URL = os.environ["URL"]


def session(token=os.environ["TOKEN"]):
    client = requests.Session()
    client.headers["authorization"] = f"Bearer {token}"
    return client


@check("flask: without a token each path is a 401, with the cookie of a session too")
def _():
    bert = session()
    bert.post(f"{URL}/cart/items", data={"item": "tea"})
    assert bert.cookies
    for cookies in [None, bert.cookies]:
        for method, path in [("GET", "/"), ("POST", "/cart/items"), ("GET", "/cart/"), ("HEAD", "/invoice.pdf")]:
            response = requests.request(method, URL + path, cookies=cookies, timeout=20)
            assert response.status_code == 401, (path, response)
            assert response.headers["x-sidegate-reason"] == "credential_missing", response.headers
            assert "set-cookie" not in response.headers


@check("flask: the service sees who calls, and not the token")
def _():
    for forged in [{}, {"x-user-id": "root"}, {"x_user_id": "root"}]:
        seen = session().get(f"{URL}/", headers=forged).json()
        assert seen == {"user": "bert", "authorization": None}, seen


@check("flask: a form leads to a redirect, and the session in its cookie lasts")
def _():
    bert = session()
    for count, item in enumerate(["tea", "käse", "a & b"]):
        response = bert.post(f"{URL}/cart/items", data={"item": item})
        assert [hop.status_code for hop in response.history] == [302], response.history
        assert response.url == f"{URL}/cart/" and len(response.json()["items"]) == count + 1, response.text
    assert bert.get(f"{URL}/cart").json() == {"items": ["tea", "käse", "a & b"], "user": "bert"}
    assert bert.post(f"{URL}/cart/empty").status_code == 204
    assert bert.get(f"{URL}/cart/").json()["items"] == []


@check("flask: a file arrives in whole, in parts, as a head, and not at all if it did not change")
def _():
    bert = session()
    whole = bert.get(f"{URL}/invoice.pdf")
    assert len(whole.content) == 1024 * 1024 and whole.headers["content-type"] == "application/pdf"
    part = bert.get(f"{URL}/invoice.pdf", headers={"range": "bytes=1000-1999"})
    assert (part.status_code, part.content) == (206, whole.content[1000:2000]), part
    head = bert.head(f"{URL}/invoice.pdf")
    assert (head.headers["content-length"], head.content) == (str(1024 * 1024), b"")
    same = bert.get(f"{URL}/invoice.pdf", headers={"if-none-match": whole.headers["etag"]})
    assert (same.status_code, same.content) == (304, b""), same


@check("flask: a stream is for those with its scope")
def _():
    response = session().get(f"{URL}/report")
    assert (response.status_code, response.headers["x-sidegate-reason"]) == (403, "scope_missing"), response
    assert 'scope="reports"' in response.headers["www-authenticate"], response.headers
    with session(os.environ["REPORTS"]).get(f"{URL}/report", stream=True) as response:
        lines = list(response.iter_lines())
    assert len(lines) == 50_000 and lines[-1] == b"line 49999", lines[-1:]


@check("flask: an error of the service is not one of Sidegate")
def _():
    response = session().get(f"{URL}/broken")
    assert response.status_code == 500 and "x-sidegate-reason" not in response.headers, response.headers
