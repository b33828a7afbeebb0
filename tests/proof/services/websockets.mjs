// A WebSocket service of the Python package `websockets`, with its client and that of the npm package `ws`.

import assert from "node:assert/strict";
import { once } from "node:events";
import { resolve } from "node:path";

import { WebSocket } from "ws";

import { freePort, run, serve } from "../sidegate.mjs";
import { JWT } from "../tokens.mjs";

export async function start() {
  const port = await freePort();
  return { port, stop: await serve("python3", ["websockets_app.py", port], port, { cwd: "services" }) };
}

export const policy = (port) => `version: 1
service: chat
upstream: { url: http://127.0.0.1:${port} }
${JWT}
routes:
  - { path: /rooms/*, methods: [GET], auth: jwt }
  - { path: /lobby, methods: [GET], auth: public }
`;

export async function use({ url, token, network, check }) {
  const bearer = await token("cleo");
  const address = url.replace("http", "ws");
  const came = network.text().length;
  await check("a handshake without a token is rejected before the service sees it", async () => {
    const socket = new WebSocket(`${address}/rooms/1`);
    const [, response] = await once(socket, "unexpected-response");
    assert.equal(response.statusCode, 401);
    assert.equal(response.headers["x-sidegate-reason"], "credential_missing");
    socket.on("error", () => {}).terminate();
    assert.equal(network.text().length, came);
  });
  await check("the client of Node speaks through it, compressed and not", async () => {
    for (const perMessageDeflate of [true, false]) {
      const socket = new WebSocket(`${address}/rooms/1`, { perMessageDeflate, headers: { authorization: `Bearer ${bearer}` } });
      await once(socket, "open");
      assert.equal(socket.extensions, perMessageDeflate ? "permessage-deflate" : "");
      socket.send("é".repeat(100_000));
      assert.equal((await once(socket, "message"))[0].toString(), "é".repeat(100_000));
      socket.close(1000);
      assert.equal((await once(socket, "close"))[0], 1000);
    }
  });
  const env = { ...process.env, URL: address, TOKEN: bearer };
  assert.equal(await run("python3", ["websockets_client.py"], { cwd: resolve("services"), env }), 0);
}
