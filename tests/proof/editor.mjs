// Policies, their tests and sidegate.yaml in an editor, with the schemas that the program prints: editor.mjs BINARY POLICIES

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { check } from "./checks.mjs";
import { LanguageServer } from "./language-server.mjs";

const [binary, policies] = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), "sidegate-editor-"));
for (const format of ["policy", "test", "config"]) {
  writeFileSync(join(folder, `${format}.json`), execFileSync(binary, ["schema", format]));
}
const server = await LanguageServer.start(folder);

const modeline = (format) => `# yaml-language-server: $schema=${format}.json\n`;
const config = (text) => `${modeline("config")}version: 1\n${text}`;
const policy = (text, { version = "1", url = "http://127.0.0.1:3000", algorithms = "RS256", keys } = {}) =>
  `${modeline("policy")}version: ${version}
service: orders
upstream: { url: "${url}" }
jwt:
  issuers:
    - issuer: https://a.example
      audience: [orders]
      algorithms: [${algorithms}]
      keys: ${keys ?? "{ oidc: https://a.example }"}
${text}`;
const route = (text) => `routes:\n  - path: /x\n${text.replaceAll(/^/gm, "    ")}\n`;
const fine = route("auth: jwt");

const checks = {
  "methods are completed in capitals, with descriptions": async () => {
    const offered = await server.completions(policy(route("methods: [|]\nauth: jwt")));
    for (const method of ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]) {
      assert.match(offered.get(method) ?? "", /\.$/, method);
    }
  },
  "algorithms are completed, with descriptions": async () => {
    const offered = await server.completions(policy(fine, { algorithms: "|" }));
    assert.equal([...offered.keys()].filter((name) => /^(HS|RS|PS|ES)\d+$|^EdDSA$/.test(name)).length, 12);
    assert.match(offered.get("ES256"), /P-256/);
  },
  "all forms of auth are completed, and methods in its lists": async () => {
    const offered = await server.completions(policy(route("auth: |")));
    for (const form of ["public", "jwt", "internal_key", "mtls"]) assert.match(offered.get(form), /\.$/, form);
    for (const form of ["any", "all"]) assert.ok([...offered.keys()].some((label) => label.startsWith(`{ ${form}: [`)), form);
    const listed = await server.completions(policy(route("auth: { all: [jwt, |] }")));
    assert.ok(listed.has("mtls") && !listed.has("public"), [...listed.keys()].join());
  },
  "fields are completed, with descriptions": async () => {
    const offered = await server.completions(policy(route("auth: jwt\n|")));
    for (const field of ["methods", "roles", "scopes", "quotas", "idempotency"]) {
      assert.ok(offered.get(field).length > 30, field);
    }
    const fields = await server.completions(config("|"));
    for (const field of ["listeners", "limits", "store"]) assert.ok(fields.get(field).length > 30, field);
  },
  "words are completed wherever they can stand": async () => {
    for (const [text, word] of [
      [policy(`mode: |\n${fine}`), "shadow"],
      [policy(`errors:\n  format: |\n${fine}`), "problem"],
      [policy(`identity:\n  x-tenant: |\n${fine}`), '"@tenant"'],
      [config("store: |"), "memory"],
      [config("log:\n  level: |"), "debug"],
    ]) {
      const offered = await server.completions(text);
      assert.match(offered.get(word) ?? "", /\.$/, `${word} of ${[...offered.keys()].join()}`);
    }
  },
  "nothing is offered without a readable name": async () => {
    for (const text of [policy(route("auth: |")), policy(route("auth: jwt\n|")), config("|"), config("store: |")]) {
      for (const label of (await server.completions(text)).keys()) assert.doesNotMatch(label, /object|Document/, label);
    }
  },
  "a field shows what it means": async () => {
    for (const [text, title, description] of [
      [policy(route("met|hods: [GET]\nauth: jwt")), "Route", /The methods of the route/],
      [policy(route("au|th: jwt")), "Route", /How callers authenticate/],
      [policy(route("auth: j|wt")), "Route", /Authorization: Bearer/],
      [policy(fine).replace("keys:", "ke|ys:"), "Keys", /Where the keys of the issuer are/],
      [policy(fine).replace("service:", "ser|vice:"), "Sidegate policy", /The name of the service/],
      [policy(fine).replace("{ url", "{ u|rl"), "Upstream", /with host and port/],
      [config("log: { le|vel: info }"), "Log", /least important/],
    ]) {
      const shown = await server.hover(text);
      assert.ok(shown.startsWith(`#### ${title}\n`), shown);
      assert.match(shown, description);
      assert.doesNotMatch(shown, /Document/);
    }
  },
  "a fault is marked, and the message says what is expected": async () => {
    for (const [text, marked, message] of [
      [policy(fine, { version: "2" }), "2", /must be 1/],
      [policy(route("methods: [get]\nauth: jwt")), "get", /"GET"/],
      [policy(fine).replace("path: /x", "path: x"), "x", /\/orders\/\*/],
      [policy(fine, { url: "127.0.0.1:3000" }), '"127.0.0.1:3000"', /http:\/\/host:port/],
      [policy(fine, { algorithms: "rs256" }), "rs256", /"RS256"/],
      [policy(fine, { algorithms: "HS256" }), "HS256", /"RS256"/],
      [policy(fine, { keys: "elsewhere" }), "elsewhere", /"Keys"/],
      [policy(route("auth: jwtt")), "jwtt", /"jwt"/],
      [policy(route("auth: { any: [public, jwt] }")), "public", /"jwt"/],
      [policy(`hosts: ["https://a.example"]\n${fine}`), '"https://a.example"', /api\.example\.com/],
      [policy(`identity: { x-tenant: "@tennant" }\n${fine}`), '"@tennant"', /"@tenant"/],
      [policy(`nothing: 1\n${fine}`), "nothing", /not allowed/],
      [config("limits: { headers: 300 }"), "300", /256/],
      [config("limits: { header_timeout: 0s }"), "0s", /length of time/],
      [config('listeners: [{ address: "8080" }]'), '"8080"', /0\.0\.0\.0:8080/],
    ]) {
      const faults = await server.faults(text);
      const found = faults.find((fault) => fault.marked === marked);
      assert.match(found?.message ?? "", message, JSON.stringify(faults));
      for (const fault of faults) assert.doesNotMatch(fault.message, /Document|pattern of/);
    }
  },
  "policies of the repository have no fault": async () => {
    assert.deepEqual(await server.faults(policy(fine)), []);
    const files = readdirSync(policies, { recursive: true });
    for (const name of files.filter((name) => name.endsWith(".yaml"))) {
      const text = readFileSync(join(policies, name), "utf8");
      const own = text.replace(/\$schema=(\.\.\/)+docs\/schema\//, "$schema=");
      assert.notEqual(own, text, `${name} names no schema`);
      assert.deepEqual(await server.faults(own), [], name);
    }
  },
};

try {
  for (const [name, run] of Object.entries(checks)) await check(`editor: ${name}`, run);
} finally {
  server.stop();
  rmSync(folder, { recursive: true });
}
