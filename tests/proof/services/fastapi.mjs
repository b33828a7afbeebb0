// A FastAPI application under uvicorn, below a prefix, with httpx: streams, uploads, its documentation.

import assert from "node:assert/strict";
import { resolve } from "node:path";

import { freePort, run, serve } from "../sidegate.mjs";
import { JWT } from "../tokens.mjs";
import { afterIdle, kept } from "./idle.mjs";

export async function start() {
  const port = await freePort();
  const args = [..."-m uvicorn fastapi_app:app --root-path /api --log-level warning --port".split(" "), port];
  return { port, stop: await serve("python3", args, port, { cwd: "services" }) };
}

export const policy = (port) => `version: 1
service: notes
prefix: /api
upstream: { url: http://127.0.0.1:${port}, strip_prefix: true }
${JWT}
tenant: { header: x-tenant-id, claims: [org], format: text, header_required: false }
routes:
  - { path: /docs, methods: [GET], auth: public }
  - { path: /openapi.json, methods: [GET], auth: public }
  - { path: /*, auth: jwt }
`;

export async function use({ url, token, service, check }) {
  const idle = kept(service.port);
  const bearer = await token("anna", { roles: ["author", "reader"], org: "acme" });
  const env = { ...process.env, URL: `${url}/api`, TOKEN: bearer, EXPIRED: await token("anna", { org: "acme" }, "-1s") };
  assert.equal(await run("python3", ["fastapi_client.py"], { cwd: resolve("services"), env }), 0);
  await check("a POST after an idle time does not fail", async () => {
    const headers = { authorization: `Bearer ${bearer}` };
    const send = async () => (await fetch(`${url}/api/slow`, { method: "POST", headers })).status;
    assert.deepEqual((await afterIdle(send, await idle)).filter((status) => status !== 200), []);
  });
}
