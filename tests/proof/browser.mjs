// Pages of Chromium that call a service behind Sidegate from other origins: browser.mjs BINARY CHROMIUM

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { resolve } from "node:path";

import { call, chromium, events, load, pages, talk } from "./browser/chromium.mjs";
import { TRIES } from "./browser/foreign.mjs";
import { COOKIE, recordingService } from "./browser/service.mjs";
import { check } from "./checks.mjs";
import { before, eventually, freePort } from "./sidegate.mjs";
import { certificates } from "./tls.mjs";
import { issuer, JWT } from "./tokens.mjs";

const policy = (upstream, app) => `version: 1
service: orders
hosts: [api.example.com]
upstream: { url: http://127.0.0.1:${upstream} }
cors: { origins: ["${app}"], headers: [authorization, content-type], credentials: true }
${JWT.replace("jwt:", `jwt:\n  sources: [authorization, { cookie: ${COOKIE} }, { websocket_protocol: bearer }]`)}
routes:
  - { path: /login, methods: [POST], auth: public }
  - { path: /page, methods: [GET], auth: public }
  - { path: /*, auth: jwt }
  - { path: /fixed, methods: [GET], auth: jwt }
  - { path: /fixed, auth: deny }
`;

const folder = resolve("running", "browser");
mkdirSync(folder, { recursive: true });
const tls = certificates(folder, ["*.example.com", "*.example.net"]);
const token = await issuer(folder);
const good = await token("paula");
const ends = [];

async function started() {
  const service = await recordingService();
  ends.unshift(service.stop);
  const web = await pages(tls);
  ends.unshift(web.stop);
  const at = (name, port) => `https://${name}:${port}`;
  const port = await freePort();
  const app = at("app.example.com", web.port);
  const listener = `{ address: 127.0.0.1:${port}, tls: { certificate: tls.crt, key: tls.key } }`;
  const gateway = await before(process.argv[2], folder, policy(service.port, app), [listener]);
  ends.unshift(gateway.stop);
  const browser = await chromium(process.argv[3], folder, tls.spki);
  ends.unshift(browser.stop);
  const foreign = { "a page of another site": at("evil.example.net", web.port), "a page of a sibling": at("other.example.com", web.port) };
  return { service, gateway, browser, app, foreign, api: at("api.example.com", port) };
}

/** Calls with a token in a header: no cookie yet. */
async function withHeaders({ service, browser, app, api }) {
  const page = await browser.open(app);
  const bearer = (token) => ({ authorization: `Bearer ${token}` });
  const count = () => service.requests.length;

  await check("browser: a PUT with a token follows its preflight, which the service does not see", async () => {
    const headers = { ...bearer(good), "content-type": "application/json" };
    const { status, text } = await call(page, `${api}/orders/1`, { method: "PUT", headers, body: "{}" });
    assert.equal(status, 200, text);
    assert.equal(JSON.parse(text).user, "paula");
    assert.deepEqual(service.requests.map(({ method, url }) => `${method} ${url}`), ["PUT /orders/1"]);
  });
  await check("browser: the page may read responses by the policy alone, not by the service's own headers", async () => {
    const { headers } = await call(page, `${api}/orders`, { headers: bearer(good), credentials: "include" });
    assert.ok(headers?.["x-request-id"]);
  });
  await check("browser: a method that no route takes, and a header that is not listed, are not sent", async () => {
    const before = count();
    assert.match((await call(page, `${api}/fixed`, { method: "DELETE", headers: bearer(good) })).error ?? "sent", /TypeError/);
    const headers = { ...bearer(good), "x-other": "1" };
    assert.match((await call(page, `${api}/orders`, { headers })).error ?? "sent", /TypeError/);
    assert.equal(count(), before);
  });
  await check("browser: the page reads that its token is expired, or missing", async () => {
    const before = count();
    for (const [headers, reason] of [[bearer(await token("paula", {}, "-1m")), "token_expired"], [{}, "credential_missing"]]) {
      const response = await call(page, `${api}/orders`, { headers });
      assert.equal(response.status, 401, response.error);
      assert.equal(response.headers["x-sidegate-reason"], reason);
      assert.match(response.headers["www-authenticate"], /^Bearer /);
      assert.equal(JSON.parse(response.text).statusCode, 401);
    }
    assert.equal(count(), before);
  });
  await check("browser: a WebSocket brings its token as a subprotocol, which the service does not see", async () => {
    const socket = `${api.replace("https", "wss")}/socket`;
    for (const [offered, chosen, seen] of [[[], "bearer", undefined], [["chat"], "chat", "chat"]]) {
      assert.deepEqual(await talk(page, socket, ["bearer", good, ...offered]), { data: "paula: hello", protocol: chosen });
      assert.equal(service.requests.at(-1).headers["sec-websocket-protocol"], seen);
      assert.ok(!JSON.stringify(service.requests.at(-1).headers).includes(good));
    }
    const before = count();
    for (const offered of [[], ["chat"], ["bearer", await token("paula", {}, "-1m")]]) {
      assert.deepEqual(await talk(page, socket, offered), { error: true });
    }
    assert.equal(count(), before);
  });
}

/** Calls with the cookie of a login. */
async function withCookie({ service, browser, app, api }) {
  const page = await browser.open(app);
  const sent = () => {
    const { user = service.requests.at(-1).headers["x-user-id"], cookie } = service.requests.at(-1).headers;
    return [user, cookie];
  };
  await check("browser: a login sets the cookie, and the service sees all but the cookie with the token", async () => {
    service.session = good;
    assert.equal((await call(page, `${api}/login`, { method: "POST", credentials: "include" })).status, 204);
    for (const method of ["GET", "POST"]) {
      const { status, error } = await call(page, `${api}/orders`, { method, credentials: "include" });
      assert.equal(status, 200, error);
      assert.deepEqual(sent(), ["paula", "theme=dark"]);
    }
  });
  await check("browser: an EventSource with the cookie", async () => {
    assert.deepEqual(await events(page, `${api}/events`), ["first", "second"]);
    assert.deepEqual(sent(), ["paula", "theme=dark"]);
  });
  await check("browser: a WebSocket with the cookie", async () => {
    assert.equal((await talk(page, `${api.replace("https", "wss")}/socket`)).data, "paula: hello");
    assert.deepEqual(sent(), ["paula", "theme=dark"]);
  });
  await check("browser: an image with the cookie, where it says its origin", async () => {
    assert.equal(await load(page, "img", { crossOrigin: "use-credentials", src: `${api}/image.gif` }), true);
  });
  await check("browser: a bad token in Authorization is not mended by a good cookie", async () => {
    const before = service.requests.length;
    const headers = { authorization: `Bearer ${await token("paula", {}, "-1m")}` };
    const response = await call(page, `${api}/orders`, { headers, credentials: "include" });
    assert.deepEqual([response.status, response.headers["x-sidegate-reason"]], [401, "token_expired"]);
    assert.equal(service.requests.length, before);
  });
  await check("browser: the page of the service itself, and an address that the user types", async () => {
    const own = await browser.open(`${api}/page`);
    assert.equal((await call(own, `${api}/orders`)).status, 200);
    assert.equal((await call(own, `${api}/orders`, { method: "POST", body: "{}" })).status, 200);
    const typed = await browser.open(`${api}/orders`);
    assert.match(await typed.content(), /paula/);
  });
}

/** The same without permission, with the cookie in the browser. */
async function foreignPages({ service, gateway, browser, foreign, api }) {
  // How often Sidegate saw the cookie and rejected it: without it, a try proves nothing.
  const rejected = async () => {
    const text = await (await fetch(`http://127.0.0.1:${gateway.admin}/metrics`)).text();
    const lines = text.split("\n").filter((line) => line.includes('reason="token_source_not_allowed"'));
    return lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
  };
  for (const [who, origin] of Object.entries(foreign)) {
    for (const [what, act] of Object.entries(TRIES)) {
      await check(`browser: ${what} of ${who} does not reach the service, with the cookie sent`, async () => {
        const [reached, before] = [service.requests.length, await rejected()];
        const page = await browser.open(origin);
        await act(page, api);
        await eventually("Sidegate rejected the cookie", async () => (await rejected()) > before);
        await page.close();
        assert.equal(service.requests.length, reached, JSON.stringify(service.requests.at(-1)));
      });
    }
    await check(`browser: a token that ${who} has does not pass its preflight`, async () => {
      const reached = service.requests.length;
      const page = await browser.open(origin);
      const said = await call(page, `${api}/orders`, { headers: { authorization: `Bearer ${good}` } });
      assert.match(said.error ?? "read", /TypeError/);
      assert.equal(service.requests.length, reached);
    });
  }
}

try {
  const all = await started();
  await withHeaders(all);
  await withCookie(all);
  await foreignPages(all);
} finally {
  for (const end of ends) await end();
}
process.exit();
