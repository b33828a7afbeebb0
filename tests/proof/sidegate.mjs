// A running Sidegate with a service behind it, for one run of the proof.

import { execFileSync, spawn } from "node:child_process";
import { writeFileSync, mkdirSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createSocket } from "node:net";

const PATIENCE = 30_000;

export async function freePort() {
  const socket = createSocket();
  await new Promise((done) => socket.listen(0, "127.0.0.1", done));
  const { port } = socket.address();
  await new Promise((done) => socket.close(done));
  return port;
}

/** Waits until the condition holds, and says what never came true when it does not. */
export async function eventually(what, condition) {
  const deadline = Date.now() + PATIENCE;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`${what}: not within ${PATIENCE} ms`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

/** A service that answers with the headers that it gets. */
async function service() {
  const server = createServer((request, response) => {
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify(request.headers));
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return server;
}

function policy(name, upstream, issuer) {
  return `version: 1
service: ${name}-svc
prefix: /${name}
upstream: { url: http://127.0.0.1:${upstream} }
errors: { format: problem, code_prefix: ERR }
jwt: { issuers: [${JSON.stringify(issuer)}] }
routes: [{ path: /*, auth: jwt }]
`;
}

/** Starts it with one policy for each issuer, at /NAME. */
export async function start(binary, issuers) {
  const behind = await service();
  mkdirSync("policies");
  for (const [name, issuer] of Object.entries(issuers)) {
    writeFileSync(`policies/${name}.yaml`, policy(name, behind.address().port, issuer));
  }
  execFileSync("openssl", [
    ..."req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=localhost".split(" "),
    ..."-addext subjectAltName=DNS:localhost -keyout tls.key -out tls.crt".split(" "),
  ], { stdio: "ignore" });
  const tls = await freePort();
  const listener = `{ address: 127.0.0.1:${tls}, tls: { certificate: tls.crt, key: tls.key } }`;
  const running = await launch(binary, "policies", [listener], {});
  const stop = async () => {
    await running.stop();
    behind.close();
  };
  return { ...running, tls, stop };
}

/** Starts it with policies, listeners besides one in clear text, and variables. */
export async function launch(binary, policies, listeners, variables) {
  const [port, admin] = [await freePort(), await freePort()];
  writeFileSync("sidegate.yaml", `version: 1
listeners: [${[`{ address: 127.0.0.1:${port} }`, ...listeners].join(", ")}]
admin: { address: 127.0.0.1:${admin} }
log: { level: warn, access: false }
`);
  const env = { PATH: process.env.PATH, ...variables };
  const child = spawn(binary, ["run", "--policies", policies], { stdio: ["ignore", "inherit", "inherit"], env });
  const ready = async () => (await fetch(`http://127.0.0.1:${admin}/readyz`).catch(() => null))?.status === 200;
  await eventually("it is ready", ready);
  const stop = async () => {
    child.kill("SIGTERM");
    await new Promise((done) => child.once("exit", done));
  };
  return { port, admin, stop };
}
