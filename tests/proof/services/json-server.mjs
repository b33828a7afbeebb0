// json-server, a REST service of npm, with fetch and axios: what is read, written, filtered and paged.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

import axios from "axios";

import { freePort, serve } from "../sidegate.mjs";
import { JWT } from "../tokens.mjs";
import { afterIdle, kept } from "./idle.mjs";

const PROGRAM = join(dirname(createRequire(import.meta.url).resolve("json-server/package.json")), "lib/cli/bin.js");
// A middleware as the manual of json-server shows one.
const MIDDLEWARE = `module.exports = (request, response, next) => {
  if (request.method === "POST") request.body.author = request.headers["x-user-id"] ?? null;
  request.path === "/events" ? setTimeout(next, 600) : next();
};
`;

export async function start(folder) {
  const port = await freePort();
  const posts = Array.from({ length: 25 }, (_, at) => ({ id: at + 1, title: `post ${at + 1}`, year: 2000 + (at % 5) }));
  writeFileSync(join(folder, "db.json"), JSON.stringify({ posts, events: [] }));
  writeFileSync(join(folder, "author.cjs"), MIDDLEWARE);
  const args = [PROGRAM, "--host", "127.0.0.1", "--port", port, "--middlewares", "author.cjs", "--quiet", "db.json"];
  const stop = await serve(process.execPath, args, port, { cwd: folder });
  const stored = async () => (await fetch(`http://127.0.0.1:${port}/db`)).json();
  return { port, stop, stored };
}

export const policy = (port) => `version: 1
service: posts
upstream: { url: http://127.0.0.1:${port} }
${JWT}
content_types: [application/json]
routes:
  - { path: /posts/*, methods: [GET], auth: jwt }
  - { path: /posts/*, methods: [POST, PUT, PATCH, DELETE], auth: jwt, roles: [editor] }
  - { path: /events, methods: [POST], auth: jwt }
`;

export async function use({ url, token, service, check }) {
  const idle = kept(service.port);
  const [reader, editor] = [await token("rita"), await token("ed", { roles: ["editor"] })];
  const get = (path, headers = {}) =>
    fetch(`${url}${path}`, { headers: { authorization: `Bearer ${reader}`, ...headers } });
  const client = (bearer) =>
    axios.create({ baseURL: url, headers: { authorization: `Bearer ${bearer}` }, validateStatus: () => true });
  const writer = client(editor);

  await check("without a token, nothing is read or written", async () => {
    const before = await service.stored();
    for (const method of ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]) {
      const body = /^P/.test(method) ? "{}" : undefined;
      const response = await fetch(`${url}/posts/1`, { method, body, headers: { "content-type": "application/json" } });
      assert.equal(response.status, 401, method);
      assert.equal(response.headers.get("x-sidegate-reason"), "credential_missing");
    }
    assert.deepEqual(await service.stored(), before);
  });
  await check("a post is created, read, replaced, changed and deleted with axios", async () => {
    const created = await writer.post("/posts", { title: "new" });
    assert.equal(created.status, 201, JSON.stringify(created.data));
    const path = `/posts/${created.data.id}`;
    assert.equal(new URL(created.headers.location).pathname, path);
    assert.equal((await writer.get(path)).data.title, "new");
    assert.deepEqual((await writer.put(path, { title: "replaced" })).data, { id: created.data.id, title: "replaced" });
    assert.equal((await writer.patch(path, { year: 1 })).data.title, "replaced");
    assert.equal((await writer.delete(path)).status, 200);
    assert.equal((await writer.get(path)).status, 404);
  });
  await check("the service sees who calls, whatever the client says", async () => {
    const headers = { "x-user-id": "root", X_User_Id: "root" };
    assert.equal((await writer.post("/posts", { title: "mine" }, { headers })).data.author, "ed");
  });
  await check("a reader who writes is rejected", async () => {
    const before = await service.stored();
    const answer = await client(reader).post("/posts", { title: "no" });
    assert.equal(answer.status, 403);
    assert.equal(answer.headers["x-sidegate-reason"], "role_missing");
    assert.deepEqual(await service.stored(), before);
  });
  await check("filters, and pages by their links, with fetch", async () => {
    const ofYear = await (await get("/posts?year=2003&_sort=id&_order=desc")).json();
    assert.deepEqual(ofYear.map(({ id }) => id), [24, 19, 14, 9, 4]);
    const first = await get("/posts?_page=1&_limit=10");
    assert.ok(Number(first.headers.get("x-total-count")) >= 25);
    const [, next] = /<([^>]+)>; rel="next"/.exec(first.headers.get("link"));
    assert.ok(next.startsWith(`${url}/`), next);
    assert.equal((await (await get(next.slice(url.length))).json())[0].id, 11);
  });
  await check("a response that did not change is a 304, and HEAD has no body", async () => {
    const etag = (await get("/posts/1")).headers.get("etag");
    assert.equal((await writer.get("/posts/1", { headers: { "if-none-match": etag } })).status, 304);
    const head = await fetch(`${url}/posts/1`, { method: "HEAD", headers: { authorization: `Bearer ${reader}` } });
    assert.equal(head.status, 200);
    assert.equal(await head.text(), "");
  });
  await check("a compressed response arrives compressed", async () => {
    const response = await get("/posts", { "accept-encoding": "gzip" });
    assert.equal(response.headers.get("content-encoding"), "gzip");
    assert.ok((await response.json()).length >= 25);
  });
  await check("a POST after an idle time does not fail", async () => {
    const outcomes = await afterIdle(async () => (await client(reader).post("/events", { at: Date.now() })).status, await idle);
    assert.deepEqual(outcomes.filter((status) => status !== 201), []);
  });
}
