// A small authorization server for MCP clients: metadata (RFC 8414), registration (RFC 7591), the code grant
// with PKCE (RFC 7636) and resource indicators (RFC 8707). Its user agrees to everything at once.

import { createHash, randomUUID } from "node:crypto";
import { createServer } from "node:https";

import * as jose from "jose";

const SUBJECT = "mona";

async function body(request) {
  let text = "";
  for await (const bytes of request) text += bytes;
  return text;
}

/** Starts it on a port, for one resource. `seen` has what clients asked for. */
export async function authorizationServer(port, tls, resource) {
  const issuer = `https://localhost:${port}`;
  const pair = await jose.generateKeyPair("ES256", { extractable: true });
  const jwk = { ...(await jose.exportJWK(pair.publicKey)), kid: "first", alg: "ES256", use: "sig" };
  const [clients, codes] = [new Map(), new Map()];
  const seen = { registered: 0, authorized: [], tokens: 0 };

  const token = (scope, audience, subject = SUBJECT) =>
    new jose.SignJWT({ scope })
      .setProtectedHeader({ alg: "ES256", kid: "first", typ: "at+jwt" })
      .setIssuer(issuer).setAudience(audience).setSubject(subject).setIssuedAt().setExpirationTime("5m")
      .sign(pair.privateKey);

  const pages = {
    "/.well-known/oauth-authorization-server": () => ({
      issuer,
      authorization_endpoint: `${issuer}/authorize`,
      token_endpoint: `${issuer}/token`,
      registration_endpoint: `${issuer}/register`,
      jwks_uri: `${issuer}/keys`,
      response_types_supported: ["code"],
      grant_types_supported: ["authorization_code"],
      code_challenge_methods_supported: ["S256"],
      token_endpoint_auth_methods_supported: ["none"],
      authorization_response_iss_parameter_supported: true,
    }),
    "/keys": () => ({ keys: [jwk] }),
    "/register": async (_, request) => {
      const client = { ...JSON.parse(await body(request)), client_id: randomUUID(), token_endpoint_auth_method: "none" };
      clients.set(client.client_id, client);
      seen.registered += 1;
      return client;
    },
    "/authorize": ({ searchParams }) => {
      const asked = Object.fromEntries(searchParams);
      const known = clients.get(asked.client_id)?.redirect_uris.includes(asked.redirect_uri);
      if (!known || asked.response_type !== "code" || asked.code_challenge_method !== "S256") return null;
      seen.authorized.push({ scope: asked.scope, resource: asked.resource });
      const code = randomUUID();
      codes.set(code, asked);
      const back = new URL(asked.redirect_uri);
      for (const [name, value] of Object.entries({ code, state: asked.state, iss: issuer })) {
        if (value !== undefined) back.searchParams.set(name, value);
      }
      return back;
    },
    "/token": async (_, request) => {
      const given = Object.fromEntries(new URLSearchParams(await body(request)));
      const asked = codes.get(given.code);
      codes.delete(given.code);
      const challenge = createHash("sha256").update(given.code_verifier ?? "").digest("base64url");
      const same = ["client_id", "redirect_uri", "resource"].every((name) => given[name] === asked?.[name]);
      if (!same || challenge !== asked.code_challenge || asked.resource !== resource) return null;
      seen.tokens += 1;
      const access_token = await token(asked.scope, [asked.resource]);
      return { access_token, token_type: "Bearer", expires_in: 300, scope: asked.scope };
    },
  };
  const server = createServer(tls, async (request, response) => {
    const url = new URL(request.url, issuer);
    const said = await pages[url.pathname]?.(url, request);
    if (said instanceof URL) {
      response.writeHead(302, { location: said.href }).end();
    } else {
      const status = said ? (url.pathname === "/register" ? 201 : 200) : said === null ? 400 : 404;
      response.writeHead(status, { "content-type": "application/json", "cache-control": "no-store" });
      response.end(JSON.stringify(said ?? { error: "invalid_request" }));
    }
  });
  await new Promise((done) => server.listen(port, "127.0.0.1", done));
  return { issuer, keys: `${issuer}/keys`, seen, token, stop: () => server.closeAllConnections() ?? server.close() };
}
