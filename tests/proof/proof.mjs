// What is proved, one line each: proof.mjs BINARY POLICIES

import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { promisify } from "node:util";

import * as jose from "jose";
import { OAuth2Server } from "oauth2-mock-server";
import { Provider } from "oidc-provider";

import { check } from "./checks.mjs";
import { nest } from "./nest.mjs";
import { eventually, freePort, start } from "./sidegate.mjs";

const AUDIENCE = "urn:orders";
const CLIENT = { id: "nightly-export", secret: "a-secret-of-the-client-that-is-long-enough" };

/** A certified OpenID provider that gives JWTs to its client. */
async function openIdProvider() {
  const port = await freePort();
  const issuer = `http://127.0.0.1:${port}`;
  const key = await jose.generateKeyPair("RS256", { extractable: true });
  const jwk = { ...(await jose.exportJWK(key.privateKey)), kid: "first", alg: "RS256", use: "sig" };
  const resource = { scope: "read", audience: AUDIENCE, accessTokenFormat: "jwt", jwt: { sign: { alg: "RS256" } } };
  const provider = new Provider(issuer, {
    jwks: { keys: [jwk] },
    clients: [{
      client_id: CLIENT.id, client_secret: CLIENT.secret, grant_types: ["client_credentials"],
      redirect_uris: [], response_types: [],
    }],
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true, defaultResource: () => AUDIENCE, getResourceServerInfo: () => resource,
      },
    },
  });
  const server = await new Promise((done) => {
    const listening = provider.listen(port, "127.0.0.1", () => done(listening));
  });
  const token = async () => {
    const basic = Buffer.from(`${CLIENT.id}:${CLIENT.secret}`).toString("base64");
    const response = await fetch(`${issuer}/token`, {
      method: "POST",
      headers: { authorization: `Basic ${basic}` },
      body: new URLSearchParams({ grant_type: "client_credentials" }),
    });
    return (await response.json()).access_token;
  };
  return { issuer, token, close: () => server.close() };
}

/** A provider whose keys and life are ours to change. */
async function mockProvider(port) {
  const server = new OAuth2Server();
  await server.issuer.keys.generate("RS256", { kid: "a" });
  await server.start(port, "127.0.0.1");
  const issuer = `http://127.0.0.1:${port}`;
  server.issuer.url = issuer;
  const claims = (_header, payload) => Object.assign(payload, { sub: "mocked", aud: AUDIENCE });
  return {
    issuer,
    rotate: (kid) => server.issuer.keys.generate("RS256", { kid }),
    token: (kid) => server.issuer.buildToken({ kid, scopesOrTransform: claims }),
    close: () => server.stop(),
  };
}

/** Keys and tokens that jose makes. */
async function joseTokens() {
  const keys = [];
  const tokens = {};
  for (const algorithm of ["PS256", "ES384", "EdDSA"]) {
    const pair = await jose.generateKeyPair(algorithm, { extractable: true });
    keys.push({ ...(await jose.exportJWK(pair.publicKey)), kid: algorithm, alg: algorithm, use: "sig" });
    tokens[algorithm] = await new jose.SignJWT({})
      .setProtectedHeader({ alg: algorithm, kid: algorithm })
      .setIssuer("jose").setAudience(AUDIENCE).setSubject(algorithm).setIssuedAt().setExpirationTime("5m")
      .sign(pair.privateKey);
  }
  writeFileSync("jose.json", JSON.stringify({ keys }));
  return tokens;
}

/** Runs a client; what it said. */
async function client(program, args, input = "") {
  const running = promisify(execFile)(program, args);
  running.child.stdin.end(input);
  return (await running).stdout;
}

const real = await openIdProvider();
const mockPort = await freePort();
let mock = await mockProvider(mockPort);
const tokens = await joseTokens();
const snake = execFileSync("python3", ["es256_token.py", AUDIENCE, "python.json"], { encoding: "utf8" }).trim();

const issuer = (name, algorithms, keys) => ({ issuer: name, audience: [AUDIENCE], algorithms, keys });
const gateway = await start(process.argv[2], {
  real: issuer(real.issuer, ["RS256"], { oidc: real.issuer }),
  mock: issuer(mock.issuer, ["RS256"], { oidc: mock.issuer }),
  jose: issuer("jose", Object.keys(tokens), { jwks: { file: "../jose.json" } }),
  python: issuer("python", ["ES256"], { jwks: { file: "../python.json" } }),
});

const get = (path, token) => fetch(`http://127.0.0.1:${gateway.port}${path}`, {
  headers: token ? { authorization: `Bearer ${token}` } : {},
});
const allowed = async (path, token, subject) => {
  const response = await get(path, token);
  const body = await response.json();
  assert.equal(response.status, 200, JSON.stringify(body));
  assert.equal(body["x-user-id"], subject);
};
const refused = async (path, token, reason) => {
  const response = await get(path, token);
  assert.equal((await response.json()).reason, reason);
  assert.match(response.headers.get("www-authenticate"), /^Bearer /);
};

try {
  await check("a token of oidc-provider, found by discovery", async () => {
    await allowed("/real/x", await real.token(), CLIENT.id);
  });
  await check("the same token at the policy of another issuer", async () => {
    await refused("/mock/x", await real.token(), "token_issuer_mismatch");
  });
  await check("the same token with another subject", async () => {
    const [header, payload, signature] = (await real.token()).split(".");
    const claims = { ...JSON.parse(Buffer.from(payload, "base64url")), sub: "admin" };
    const forged = Buffer.from(JSON.stringify(claims)).toString("base64url");
    await refused("/real/x", `${header}.${forged}.${signature}`, "token_signature_invalid");
  });
  await check("a token of oauth2-mock-server, found by discovery", async () => {
    await allowed("/mock/x", await mock.token("a"), "mocked");
  });
  await check("a new key is known by the first token that it signed", async () => {
    await mock.rotate("b");
    await allowed("/mock/x", await mock.token("b"), "mocked");
  });
  const before = await mock.token("b");
  await check("the provider is away: its keys serve, and the others' too", async () => {
    const token = await mock.token("a");
    await mock.close();
    await allowed("/mock/x", token, "mocked");
    await allowed("/real/x", await real.token(), CLIENT.id);
  });
  await check("the provider is back with other keys", async () => {
    mock = await mockProvider(mockPort);
    await mock.rotate("c");
    const token = await mock.token("c");
    await eventually("the new key is known", async () => (await get("/mock/x", token)).status === 200);
    await refused("/mock/x", before, "token_key_unknown");
  });
  for (const [algorithm, token] of Object.entries(tokens)) {
    await check(`a token that jose signed with ${algorithm}`, () => allowed("/jose/x", token, algorithm));
  }
  await check("a token that Python's cryptography signed", () => allowed("/python/x", snake, "snake"));
  await check("curl over HTTP/2 and TLS", async () => {
    const answer = await client("curl", [
      "--silent", "--http2", "--cacert", "tls.crt", "--write-out", "\n%{http_version} %{http_code}",
      "--header", `authorization: Bearer ${snake}`, `https://localhost:${gateway.tls}/python/x`,
    ]);
    assert.match(answer, /"x-user-id":"snake"/);
    assert.match(answer, /\n2 200$/);
  });
  await check("openssl s_client, by hand", async () => {
    const answer = await client("openssl", [
      "s_client", "-quiet", "-verify_return_error", "-CAfile", "tls.crt", "-servername", "localhost",
      "-connect", `127.0.0.1:${gateway.tls}`,
    ], "GET /python/x HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    assert.match(answer, /^HTTP\/1\.1 401 /);
    assert.match(answer, /"reason":"credential_missing"/);
  });
} finally {
  await gateway.stop();
  real.close();
  await mock.close();
}
await nest(check, process.argv[2], process.argv[3]);
process.exit();
