// The network between Sidegate and a service: bytes arrive later than they were sent, and are looked at.

import { connect, createServer } from "node:net";

// So long, in milliseconds, each way.
const DELAY = 25;

/** Forwards the bytes of one direction, its end and its abort. */
function forward(from, to, look) {
  const later = (act) => setTimeout(act, DELAY);
  from.on("data", (bytes) => {
    look(bytes);
    later(() => to.writable && to.write(bytes));
  });
  from.on("end", () => later(() => to.end()));
  from.on("error", () => later(() => to.resetAndDestroy()));
}

/** A port that leads to the port of a service, and what came to it. */
export async function relay(port) {
  const sockets = new Set();
  const received = [];
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const service = connect({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    for (const socket of [client, service]) sockets.add(socket.once("close", () => sockets.delete(socket)));
    forward(client, service, (bytes) => received.push(bytes.subarray(0, 16_384)));
    forward(service, client, () => {});
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const stop = () => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  return { port: server.address().port, text: () => Buffer.concat(received).toString("latin1"), stop };
}
