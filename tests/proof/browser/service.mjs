// A service that records what reaches it: HTTP, events, an image and WebSockets.

import { once } from "node:events";
import { createServer } from "node:http";

import { WebSocketServer } from "ws";

const PIXEL = Buffer.from("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7", "base64");
const HTML = { "content-type": "text/html" };

export const COOKIE = "__Host-session";

// Not recorded: what every page may call, and the icon that the browser itself fetches for a page that it shows.
const OPEN = ["/login", "/page", "/favicon.ico"];

/** Starts it. Its login sets the cookie to `session`; `requests` are those that it received. */
export async function recordingService() {
  const state = { session: "", requests: [] };
  const record = ({ method, url, headers }) => state.requests.push({ method, url, headers });
  const pages = {
    "/login": (response) => {
      const cookie = `${COOKIE}=${state.session}; Path=/; Secure; HttpOnly; SameSite=None`;
      response.writeHead(204, { "set-cookie": [cookie, "theme=dark; Path=/; Secure; SameSite=None"] }).end();
    },
    "/page": (response) => response.writeHead(200, HTML).end("<title>page</title>"),
    "/image.gif": (response) => response.writeHead(200, { "content-type": "image/gif" }).end(PIXEL),
    "/events": (response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write("data: first\n\n");
      response.write("data: second\n\n");
    },
  };
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, "http://service");
    if (!OPEN.includes(pathname)) record(request);
    const { "x-user-id": user = null, cookie = null, authorization = null } = request.headers;
    const other = () => response.writeHead(200, { "content-type": "application/json", "access-control-allow-origin": "*" })
      .end(JSON.stringify({ user, cookie, authorization }));
    (pages[pathname] ?? other)(response);
  });
  const handleProtocols = (offered) => (offered.has("chat") ? "chat" : false);
  const sockets = new WebSocketServer({ noServer: true, handleProtocols });
  server.on("upgrade", (request, socket, head) => {
    record(request);
    sockets.handleUpgrade(request, socket, head, (opened) => {
      opened.on("message", (message) => opened.send(`${request.headers["x-user-id"]}: ${message}`));
    });
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const stop = () => {
    server.close();
    server.closeAllConnections();
    for (const socket of sockets.clients) socket.terminate();
  };
  return Object.assign(state, { port: server.address().port, stop });
}
