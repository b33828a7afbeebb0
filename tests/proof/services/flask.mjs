// A Flask application under gunicorn, with requests: sessions in cookies, forms, redirects, parts of files.

import assert from "node:assert/strict";
import { resolve } from "node:path";

import { freePort, run, serve } from "../sidegate.mjs";
import { JWT } from "../tokens.mjs";
import { afterIdle } from "./idle.mjs";

// gunicorn closes a connection that has been idle for 2 s; it looks every second. The policy says less.
const KEPT = 2_500;

export async function start() {
  const port = await freePort();
  const options = "--worker-class gthread --workers 2 --threads 24 --log-level warning --no-control-socket".split(" ");
  const args = ["-m", "gunicorn", ...options, "--bind", `127.0.0.1:${port}`, "flask_app:app"];
  return { port, stop: await serve("python3", args, port, { cwd: "services" }) };
}

export const policy = (port) => `version: 1
service: shop
upstream: { url: http://127.0.0.1:${port}, idle_timeout: 1s }
credentials: strip
${JWT}
routes:
  - { path: /*, auth: jwt }
  - { path: /report, methods: [GET], auth: jwt, scopes: [reports] }
`;

export async function use({ url, token, check }) {
  const bearer = await token("bert");
  const env = { ...process.env, URL: url, TOKEN: bearer, REPORTS: await token("rosa", { scope: "reports" }) };
  assert.equal(await run("python3", ["flask_client.py"], { cwd: resolve("services"), env }), 0);
  await check("a POST after an idle time does not fail", async () => {
    const headers = { authorization: `Bearer ${bearer}` };
    const send = async () => (await fetch(`${url}/slow`, { method: "POST", headers })).status;
    assert.deepEqual((await afterIdle(send, KEPT, 1_200)).filter((status) => status !== 200), []);
  });
}
