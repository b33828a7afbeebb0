// The two services as a real NestJS application, whose router ignores case, behind the policies of the
// repository, which are not changed for it.

import "reflect-metadata";

import assert from "node:assert/strict";

import { All, Controller, Module } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import * as jose from "jose";

import { launch } from "./sidegate.mjs";

const SECRET = "a-secret-of-the-wallet-that-is-long-enough";
const JOBS_KEY = "a-key-of-the-scheduler";
const TENANT = "00000000-0000-4000-a000-000000000001";
const KEY_SET = "/auth/v1/.well-known/jwks.json";

/** An application with one handler for each path. It answers with the path, and counts. */
async function application(paths, keySet) {
  const reached = new Map(paths.map((path) => [path, 0]));
  class Routes {}
  for (const path of [...paths, KEY_SET]) {
    Routes.prototype[path] = () => {
      reached.set(path, reached.get(path) + 1);
      return path === KEY_SET ? keySet : { handler: path };
    };
    All(path)(Routes.prototype, path, Object.getOwnPropertyDescriptor(Routes.prototype, path));
  }
  Controller()(Routes);
  class Application {}
  Module({ controllers: [Routes] })(Application);
  const app = await NestFactory.create(Application, { logger: false });
  await app.listen(0, "127.0.0.1");
  return { url: await app.getUrl(), reached, close: () => app.close() };
}

/** A path as written, with a capital in each segment, in capitals, and in a mixture of both. */
function spellings(path) {
  const segments = path.split("/");
  const capital = (text) => text.slice(0, 1).toUpperCase() + text.slice(1);
  const one = segments.map((_, at) => segments.map((text, n) => (n === at ? capital(text) : text)).join("/"));
  const mixed = Array.from({ length: 16 }, (_, n) =>
    [...path].map((letter, at) => ((at * 7 + n * n * 3 + n) % 5 < 2 ? letter.toUpperCase() : letter)).join(""));
  const all = [path, ...one, path.toUpperCase(), ...mixed];
  return [...new Set([...all, ...all.map((spelling) => `${spelling}/`)])];
}

/** Checks that no spelling of a guarded path leads around what the path asks for. */
export async function nest(check, binary, policies) {
  const pair = await jose.generateKeyPair("RS256", { extractable: true });
  const keySet = { keys: [{ ...(await jose.exportJWK(pair.publicKey)), kid: "hub", alg: "RS256", use: "sig" }] };
  const sign = (claims, header, key) =>
    new jose.SignJWT(claims).setProtectedHeader(header).setIssuedAt().setExpirationTime("5m").setSubject("u").sign(key);
  const hub = async (...roles) =>
    `Bearer ${await sign({ tenantId: TENANT, roles, planTier: "enterprise" }, { alg: "RS256", kid: "hub" }, pair.privateKey)}`;
  const wallet = async (...roles) => {
    const claims = { tenant: TENANT, tenantId: TENANT, roles, iss: "eventzr.com", aud: "eventzr-api" };
    return `Bearer ${await sign(claims, { alg: "HS256" }, new TextEncoder().encode(SECRET))}`;
  };
  const [none, user, developer, ofWallet] = [undefined, await hub("user"), await hub("developer"), await wallet("user")];

  // Who is refused, with which reason, and who is not.
  const guarded = [
    ["POST", "/wallet/v1/jobs/scheduled/settle", { authorization: ofWallet }, 401, { "x-internal-api-key": JOBS_KEY }],
    ["GET", "/wallet/v1/wallets", { authorization: none }, 401, { authorization: ofWallet }],
    ["GET", "/integrationhub/v1/_internal/stats", { authorization: developer }, 401, null],
    ["GET", "/integrationhub/v1/providers", { authorization: none }, 401, { authorization: user }],
    ["GET", "/integrationhub/v1/admin/users", { authorization: user }, 403, { authorization: developer }],
    ["POST", "/integrationhub/v1/execute", { authorization: user }, 403, { authorization: developer }],
    ["DELETE", "/integrationhub/v1/marketplace/7", { authorization: user }, 403, { authorization: developer }],
    ["GET", "/integrationhub/v1/credentials/7", { authorization: user }, 403, { authorization: developer }],
  ];
  const app = await application([...guarded.map(([, path]) => path), "/auth/v1/login"], keySet);
  const gateway = await launch(binary, policies, [], {
    AUTH_UPSTREAM: app.url, HUB_UPSTREAM: app.url, WALLET_UPSTREAM: app.url, AUTH_JWKS_URL: `${app.url}${KEY_SET}`,
    WALLET_JWT_SECRET: SECRET, WALLET_JOBS_KEY: JOBS_KEY,
  });
  const ask = async (base, method, path, credential) => {
    const given = Object.entries(credential ?? {}).filter(([, value]) => value);
    const body = method === "POST" ? "{}" : undefined;
    const headers = { ...Object.fromEntries(given), "x-tenant-id": TENANT, ...(body && { "content-type": "application/json" }) };
    const response = await fetch(`${base}${path}`, { method, body, headers });
    const answer = await response.json();
    return { status: response.status, code: answer.code ?? answer.error?.code, reason: answer.error?.details?.reason, handler: answer.handler };
  };
  const sidegate = `http://127.0.0.1:${gateway.port}`;
  try {
    for (const [method, path, bad, status, good] of guarded) {
      await check(`NestJS: ${method} ${path} in any case`, async () => {
        const refusal = await ask(sidegate, method, path, bad);
        assert.equal(refusal.status, status);
        let reachable = 0;
        for (const spelling of spellings(path)) {
          reachable += (await ask(app.url, method, spelling, bad)).handler === path ? 1 : 0;
          const before = app.reached.get(path);
          assert.deepEqual(await ask(sidegate, method, spelling, bad), refusal, spelling);
          assert.equal(app.reached.get(path), before, `${spelling} reached the handler`);
        }
        assert.equal(reachable, spellings(path).length, "NestJS tells cases apart: this proves nothing");
        if (good) assert.equal((await ask(sidegate, method, path, good)).handler, path);
      });
    }
    await check("NestJS: guesses at the login are counted, and refused in another case", async () => {
      for (const spelling of spellings("/login").filter((spelling) => spelling.replace(/\/$/, "") !== "/login")) {
        assert.equal((await ask(sidegate, "POST", `/auth/v1${spelling}`, {})).status, 400, spelling);
      }
      for (let guess = 0; guess < 40; guess += 1) {
        await ask(sidegate, "POST", `/auth/v1/login${guess % 2 ? "/" : ""}`, {});
      }
      assert.equal(app.reached.get("/auth/v1/login"), 20);
    });
  } finally {
    await gateway.stop();
    await app.close();
  }
}
