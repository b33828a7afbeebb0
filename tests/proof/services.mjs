// Programs behind Sidegate that know nothing of it, each with its usual client: services.mjs BINARY NAME…

import { mkdirSync } from "node:fs";
import { resolve } from "node:path";

import { check } from "./checks.mjs";
import { relay } from "./services/relay.mjs";
import { before } from "./sidegate.mjs";
import { issuer } from "./tokens.mjs";

const [binary, ...names] = process.argv.slice(2);

/** Starts a service and Sidegate before it, and uses it. Each ends in the reverse order. */
async function proof(name) {
  const ends = [];
  try {
    const { start, policy, use } = await import(`./services/${name}.mjs`);
    const folder = resolve("running", name);
    mkdirSync(folder, { recursive: true });
    const token = await issuer(folder);
    const service = await start(folder);
    ends.unshift(service.stop);
    const network = await relay(service.port);
    ends.unshift(network.stop);
    const gateway = await before(binary, folder, policy(network.port));
    ends.unshift(gateway.stop);
    await use({ url: gateway.url, token, service, network, folder, check: (what, act) => check(`${name}: ${what}`, act) });
  } finally {
    for (const end of ends) await end();
  }
}

for (const name of names) await proof(name);
