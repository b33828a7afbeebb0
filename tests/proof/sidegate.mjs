// A running Sidegate, and the programs beside it, for one run of the proof.

import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { connect, createServer as createSocket } from "node:net";
import { join } from "node:path";

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

/** Runs a program to its end, with its output beside ours; its exit code. */
export function run(program, args, options = {}) {
  const child = spawn(program, args, { stdio: ["ignore", "inherit", "inherit"], ...options });
  return new Promise((done, failed) => child.once("exit", done).once("error", failed));
}

/** Starts a program that listens on a port of this machine. It gives a function that ends it. */
export async function serve(program, args, port, options = {}) {
  const child = spawn(program, args, { stdio: ["ignore", "ignore", "pipe"], ...options });
  let said = "";
  child.stderr.on("data", (bytes) => (said = `${said}${bytes}`.slice(-4_000)));
  const exit = new Promise((done) => child.once("exit", done).once("error", done));
  const listens = () => new Promise((done) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => done(true)).once("error", () => done(false)).once("connect", () => socket.destroy());
  });
  await eventually(`${program} listens`, async () => {
    if (child.exitCode !== null) throw new Error(`${program} ended with ${child.exitCode}: ${said}`);
    return listens();
  });
  return async () => {
    child.kill("SIGTERM");
    const patience = setTimeout(() => child.kill("SIGKILL"), 5_000);
    await exit;
    clearTimeout(patience);
  };
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

/** Starts it with policies, listeners besides one in clear text, and variables, in a folder. */
export async function launch(binary, policies, listeners, variables, folder = ".") {
  const [port, admin] = [await freePort(), await freePort()];
  writeFileSync(join(folder, "sidegate.yaml"), `version: 1
listeners: [${[`{ address: 127.0.0.1:${port} }`, ...listeners].join(", ")}]
admin: { address: 127.0.0.1:${admin} }
log: { level: warn, access: false }
`);
  const env = { PATH: process.env.PATH, ...variables };
  const options = { stdio: ["ignore", "inherit", "inherit"], env, cwd: folder };
  const child = spawn(binary, ["run", "--policies", policies], options);
  const ready = async () => {
    if (child.exitCode !== null) throw new Error(`${binary} ended with ${child.exitCode}`);
    return (await fetch(`http://127.0.0.1:${admin}/readyz`).catch(() => null))?.status === 200;
  };
  await eventually("it is ready", ready);
  const stop = async () => {
    child.kill("SIGTERM");
    await new Promise((done) => (child.exitCode === null ? child.once("exit", done) : done()));
  };
  return { port, admin, url: `http://127.0.0.1:${port}`, stop };
}

/** Starts it in a folder, before one service with its policy. */
export async function before(binary, folder, policy, listeners = []) {
  mkdirSync(join(folder, "policies"), { recursive: true });
  writeFileSync(join(folder, "policies", "policy.yaml"), policy);
  return launch(binary, "policies", listeners, {}, folder);
}
