// A container registry of Debian, with skopeo: images are pushed, listed, pulled and deleted.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

import { freePort, serve } from "../sidegate.mjs";
import { JWT } from "../tokens.mjs";
import { image } from "./image.mjs";

const LAYER = 24 * 1024 * 1024;

export async function start(folder) {
  const port = await freePort();
  writeFileSync(join(folder, "registry.yml"), `version: 0.1
log: { level: error, accesslog: { disabled: true } }
storage: { filesystem: { rootdirectory: ${join(folder, "storage")} }, delete: { enabled: true } }
http: { addr: "127.0.0.1:${port}" }
`);
  return { port, stop: await serve("docker-registry", ["serve", "registry.yml"], port, { cwd: folder }) };
}

export const policy = (port) => `version: 1
service: registry
upstream: { url: http://127.0.0.1:${port} }
credentials: strip
${JWT}
routes:
  - { path: /v2/*, methods: [GET], auth: jwt }
  - { path: /v2/team/*, methods: [GET], auth: jwt, scopes: [pull] }
  - { path: /v2/team/*, methods: [POST, PATCH, PUT], auth: jwt, scopes: [push], body_bytes: 1GiB }
  - { path: /v2/team/*, methods: [DELETE], auth: jwt, scopes: [delete] }
`;

export async function use({ url, token, network, folder, check }) {
  const [puller, pusher, owner] =
    [await token("deploy", { scope: "pull" }), await token("ci", { scope: "pull push" }), await token("root", { scope: "pull push delete" })];
  const name = `docker://${url.slice("http://".length)}/team/app`;
  const skopeo = async (...args) => (await promisify(execFile)("skopeo", ["--insecure-policy", ...args], { cwd: folder })).stdout;
  const push = (bearer, tag = "1") =>
    skopeo("copy", "--dest-tls-verify=false", ...(bearer ? ["--dest-registry-token", bearer] : []), "oci:image:latest", `${name}:${tag}`);
  const refused = async (attempt, status) => {
    const error = await attempt.then(() => null, (error) => error);
    assert.match(error?.stderr ?? "it worked", status);
  };
  const digest = image(join(folder, "image"), LAYER);

  await check("without a token nothing is pushed, pulled or asked", async () => {
    const before = network.text().length;
    // skopeo takes the realm for the URL of a server that gives tokens.
    await refused(push(null), /unsupported protocol scheme/);
    await refused(skopeo("inspect", "--tls-verify=false", `${name}:1`), /unsupported protocol scheme/);
    const ping = await fetch(`${url}/v2/`);
    assert.equal(ping.status, 401);
    assert.match(ping.headers.get("www-authenticate"), /^Bearer /);
    assert.equal(network.text().length, before);
  });
  await check("a token to pull does not push", async () => {
    await refused(push(puller), /403|denied|forbidden/i);
    const tags = await fetch(`${url}/v2/team/app/tags/list`, { headers: { authorization: `Bearer ${puller}` } });
    assert.equal(tags.status, 404);
  });
  await check("an image larger than the limit of other routes is pushed", async () => {
    await push(pusher);
  });
  await check("the registry sees who calls, and not the token", async () => {
    assert.match(network.text(), /\r\nx-user-id: ci\r\n/i);
    assert.doesNotMatch(network.text(), /\r\nauthorization:/i);
  });
  await check("it is pulled as it was pushed", async () => {
    await skopeo("copy", "--src-tls-verify=false", "--src-registry-token", puller, `${name}:1`, "oci:pulled:latest");
    assert.equal(JSON.parse(readFileSync(join(folder, "pulled", "index.json"))).manifests[0].digest, digest);
    const [, hash] = JSON.parse(readFileSync(join(folder, "pulled", "blobs", ...digest.split(":")))).layers[0].digest.split(":");
    const layer = (where) => readFileSync(join(folder, where, "blobs", "sha256", hash));
    assert.ok(layer("pulled").equals(layer("image")));
  });
  await check("a second push sends no layer again, and both tags are listed", async () => {
    await push(pusher, "2");
    const said = await skopeo("list-tags", "--tls-verify=false", "--registry-token", puller, name);
    assert.deepEqual(JSON.parse(said).Tags.sort(), ["1", "2"]);
  });
  await check("it is deleted by those who may", async () => {
    const remove = (bearer) => skopeo("delete", "--tls-verify=false", "--registry-token", bearer, `${name}:1`);
    await refused(remove(pusher), /403|denied|forbidden|unauthorized/i);
    await remove(owner);
    await refused(skopeo("inspect", "--tls-verify=false", "--registry-token", puller, `${name}:1`), /manifest unknown/);
  });
}
