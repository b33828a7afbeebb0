// The MCP client of the SDK for Node; URL, ADMIN and OTHER (a token for another service) are in the environment.

import assert from "node:assert/strict";

import { UnauthorizedError } from "@modelcontextprotocol/sdk/client/auth.js";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

import { check } from "../checks.mjs";

const { URL: READ, ADMIN, OTHER } = process.env;
const REDIRECT = "http://127.0.0.1:1/callback";

/** What a client keeps, with a user agent whose user agrees. */
class Kept {
  redirectUrl = REDIRECT;
  clientMetadata = { client_name: "proof", redirect_uris: [REDIRECT], grant_types: ["authorization_code"] };
  clientInformation = () => this.client;
  saveClientInformation = (client) => void (this.client = client);
  tokens = () => this.token;
  saveTokens = (token) => void (this.token = token);
  codeVerifier = () => this.verifier;
  saveCodeVerifier = (verifier) => void (this.verifier = verifier);

  async redirectToAuthorization(url) {
    const response = await fetch(url, { redirect: "manual" });
    assert.equal(response.status, 302);
    this.code = new URL(response.headers.get("location")).searchParams.get("code");
  }
}

/** Calls a tool; where the client has to be authorized, once more when it is. */
async function call(url, name, args, options) {
  const transport = new StreamableHTTPClientTransport(new URL(url), options);
  const client = new Client({ name: "proof", version: "1" });
  const news = [];
  try {
    await client.connect(transport);
    assert.ok((await client.listTools()).tools.some((tool) => tool.name === name));
    const result = await client.callTool({ name, arguments: args }, undefined, { onprogress: ({ progress }) => news.push(progress) });
    assert.ok(!result.isError, JSON.stringify(result));
    await transport.terminateSession();
    return { result: result.structuredContent.result, news };
  } catch (error) {
    const kept = options.authProvider;
    if (!(error instanceof UnauthorizedError) || !kept?.code) throw error;
    await transport.finishAuth(kept.code);
    kept.code = null;
    return call(url, name, args, options);
  } finally {
    await client.close();
  }
}

const authProvider = new Kept();

await check("mcp for Node: without a token, and with one for another service, there is no session", async () => {
  for (const headers of [{}, { authorization: `Bearer ${OTHER}` }]) {
    const seen = new Set();
    const noted = async (...request) => {
      const response = await fetch(...request);
      seen.add(response.status);
      return response;
    };
    await assert.rejects(call(READ, "who", {}, { requestInit: { headers }, fetch: noted }));
    assert.deepEqual([...seen], [401]);
  }
});
await check("mcp for Node: it finds the authorization server, gets a token and calls a tool", async () => {
  assert.deepEqual((await call(READ, "who", {}, { authProvider })).result, ["mona", null]);
  assert.equal(authProvider.token.scope, "tools.read");
});
await check("mcp for Node: news of a call that takes a while arrive before its result", async () => {
  assert.deepEqual((await call(READ, "read", {}, { authProvider })).news, [1, 2, 3]);
});
await check("mcp for Node: a 403 of a tool that writes makes it ask for more, and the call succeeds", async () => {
  const before = authProvider.token.access_token;
  assert.ok((await call(ADMIN, "write", { note: "another" }, { authProvider })).result > 1);
  assert.notEqual(authProvider.token.access_token, before);
  assert.deepEqual(authProvider.token.scope.split(" ").sort(), ["tools.read", "tools.write"]);
});
