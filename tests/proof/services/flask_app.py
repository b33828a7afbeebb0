"""A shop in Flask as its manual shows one: a session in a cookie, forms, redirects, files and streams."""

import io
import time

from flask import Flask, Response, abort, redirect, request, send_file, session, url_for

app = Flask(__name__)
app.secret_key = "a key of the shop alone"
FILE = bytes(range(256)) * 4096


@app.get("/")
def home():
    return {"user": request.headers.get("X-User-Id"), "authorization": request.headers.get("Authorization")}


@app.post("/cart/items")
def put():
    items = session.get("items", [])
    session["items"] = [*items, request.form["item"]]
    return redirect(url_for("cart", _external=True))


@app.get("/cart/")
def cart():
    return {"items": session.get("items", []), "user": request.headers.get("X-User-Id")}


@app.post("/cart/empty")
def empty():
    session.clear()
    return "", 204


@app.get("/invoice.pdf")
def invoice():
    return send_file(io.BytesIO(FILE), mimetype="application/pdf", etag="first", download_name="invoice.pdf")


@app.get("/report")
def report():
    return Response((f"line {number}\n" for number in range(50_000)), mimetype="text/plain")


@app.post("/slow")
def slow():
    time.sleep(0.6)
    return {}


@app.get("/broken")
def broken():
    abort(500)
