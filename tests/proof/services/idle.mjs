// Requests at the moment in which a service closes idle connections.

import { connect } from "node:net";

const AT_ONCE = 40;

const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

/** For how many milliseconds a service keeps an idle connection, as measured. */
export function kept(port) {
  const socket = connect(port, "127.0.0.1");
  socket.write("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n");
  return new Promise((done, failed) => {
    let responded = Date.now();
    socket.on("data", () => (responded = Date.now()));
    socket.once("end", () => done(Date.now() - responded)).once("error", failed);
    socket.once("end", () => socket.end());
  });
}

/**
 * Sends a request that takes a while over many connections, and again when these have been idle for about
 * as long as the service keeps them. It gives the outcomes of the second time.
 */
export async function afterIdle(send, milliseconds, around = 300) {
  await Promise.all(Array.from({ length: AT_ONCE }, send));
  const begin = milliseconds - around / 2;
  return Promise.all(Array.from({ length: AT_ONCE }, async (_, at) => {
    await pause(begin + (at * around) / AT_ONCE);
    return send();
  }));
}
