"""A FastAPI application as its manual shows one: it knows of no proxy but the prefix that uvicorn is told."""

import asyncio
import hashlib
from typing import Annotated

from fastapi import FastAPI, Header, UploadFile
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

app = FastAPI(title="Notes")
acknowledged = asyncio.Queue()


class Note(BaseModel):
    title: str
    stars: int = 0


@app.get("/me")
async def me(
    x_user_id: Annotated[str | None, Header()] = None,
    x_user_roles: Annotated[str | None, Header()] = None,
    x_tenant_id: Annotated[str | None, Header()] = None,
):
    return {"user": x_user_id, "roles": x_user_roles, "tenant": x_tenant_id}


@app.post("/notes/", status_code=201)
async def create(note: Note, x_user_id: Annotated[str, Header()]):
    return {"author": x_user_id, **note.model_dump()}


@app.post("/files")
async def files(file: UploadFile):
    digest = hashlib.sha256()
    while chunk := await file.read(65_536):
        digest.update(chunk)
    return {"name": file.filename, "size": file.size, "sha256": digest.hexdigest()}


@app.get("/events")
async def events():
    async def numbers():
        for number in range(5):
            yield f"data: {number}\n\n"
            await acknowledged.get()

    return StreamingResponse(numbers(), media_type="text/event-stream")


@app.post("/acknowledge", status_code=204)
async def acknowledge():
    await acknowledged.put(None)


@app.post("/slow")
async def slow():
    await asyncio.sleep(0.6)
    return {}
