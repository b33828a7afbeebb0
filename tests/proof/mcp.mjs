// An MCP server that knows nothing of tokens behind Sidegate, with clients of its SDKs: mcp.mjs BINARY

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { Agent, get } from "node:https";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";

import { check } from "./checks.mjs";
import { authorizationServer } from "./mcp/authorization-server.mjs";
import { before, freePort, run, serve } from "./sidegate.mjs";
import { certificates } from "./tls.mjs";

const policy = (upstream, url, { issuer, keys }) => `version: 1
service: tools
upstream: { url: http://127.0.0.1:${upstream} }
resource: { url: ${url}, authorization_servers: ["${issuer}"], scopes: [tools.read, tools.write] }
jwt:
  issuers:
    - issuer: ${issuer}
      audience: ["${url}"]
      algorithms: [ES256]
      types: [at+jwt]
      keys: { jwks: { url: "${keys}", ca_file: ../ca.crt } }
routes:
  - { path: /mcp, auth: jwt, scopes: [tools.read] }
  - { path: /mcp/admin, auth: jwt, scopes: [tools.read, tools.write] }
`;

const folder = resolve("running", "mcp");
mkdirSync(folder, { recursive: true });
const tls = certificates(folder, ["localhost", "127.0.0.1"]);
const [port, authority, upstream] = [await freePort(), await freePort(), await freePort()];
const url = `https://localhost:${port}/mcp`;
const metadata = `https://localhost:${port}/.well-known/oauth-protected-resource/mcp`;
const agent = new Agent({ ca: readFileSync(tls.ca) });

/** A request as any client sends it: status, headers, and the body as JSON. */
const ask = (address, headers = {}) => new Promise((done, failed) => {
  get(address, { agent, headers }, async (response) => {
    let text = "";
    for await (const bytes of response) text += bytes;
    done({ status: response.statusCode, headers: response.headers, json: JSON.parse(text) });
  }).on("error", failed);
});

const ends = [];
try {
  const server = await authorizationServer(authority, { key: tls.key, cert: tls.cert }, url);
  ends.unshift(server.stop);
  ends.unshift(await serve("python3", ["mcp/server.py", upstream], upstream));
  const listener = `{ address: 127.0.0.1:${port}, tls: { certificate: tls.crt, key: tls.key } }`;
  const gateway = await before(process.argv[2], folder, policy(upstream, url, server), [listener]);
  ends.unshift(gateway.stop);

  await check("mcp: the document names the resource, its authorization server and its scopes", async () => {
    const { status, headers, json } = await ask(metadata);
    assert.equal(status, 200);
    assert.equal(headers["access-control-allow-origin"], "*");
    assert.equal(json.resource, url);
    assert.deepEqual(json.authorization_servers, [server.issuer]);
    assert.deepEqual(json.scopes_supported, ["tools.read", "tools.write"]);
  });
  await check("mcp: a 401 and a 403 say where the document is and which scopes are asked for", async () => {
    const missing = await ask(url);
    assert.equal(missing.status, 401);
    assert.match(missing.headers["www-authenticate"], new RegExp(`^Bearer .*resource_metadata="${metadata}"`));
    assert.match(missing.headers["www-authenticate"], /scope="tools\.read"/);
    assert.doesNotMatch(missing.headers["www-authenticate"], /error=/);
    const authorization = `Bearer ${await server.token("tools.read", url)}`;
    const narrow = await ask(`${url}/admin`, { authorization });
    assert.equal(narrow.status, 403);
    assert.match(narrow.headers["www-authenticate"], new RegExp(`^Bearer .*resource_metadata="${metadata}"`));
    assert.match(narrow.headers["www-authenticate"], /error="insufficient_scope"/);
    assert.match(narrow.headers["www-authenticate"], /scope="tools\.read tools\.write"/);
  });

  const other = await server.token("tools.read tools.write", "https://localhost/another");
  const env = { ...process.env, URL: url, ADMIN: `${url}/admin`, OTHER: other, SSL_CERT_FILE: tls.ca, NODE_EXTRA_CA_CERTS: tls.ca };
  for (const [name, ...command] of [["Python", "python3", "mcp/client.py"], ["Node", process.execPath, "mcp/client.mjs"]]) {
    Object.assign(server.seen, { registered: 0, authorized: [], tokens: 0 });
    assert.equal(await run(command[0], [command[1]], { env }), 0);
    await check(`mcp for ${name}: it registered once, and asked twice, for the resource and its scopes`, () => {
      assert.equal(server.seen.registered, 1);
      assert.equal(server.seen.tokens, 2);
      const [first, second] = server.seen.authorized;
      assert.deepEqual([first.resource, second.resource, first.scope], [url, url, "tools.read"]);
      assert.deepEqual(second.scope.split(" ").sort(), ["tools.read", "tools.write"]);
    });
  }
} finally {
  for (const end of ends) await end();
}
process.exit();
