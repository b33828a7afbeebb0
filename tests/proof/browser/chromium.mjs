// Chromium without a window, and pages of several origins. All their names are those of this machine.

import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import { join } from "node:path";

import puppeteer from "puppeteer-core";

const PATIENCE = 20_000;

/** Serves an empty page for every name that leads to it, and redirects to where `?to=` says. */
export async function pages(tls) {
  const server = createServer(tls, (request, response) => {
    const to = new URL(request.url, "https://page").searchParams.get("to");
    if (to) return response.writeHead(302, { location: to }).end();
    response.writeHead(200, { "content-type": "text/html", "cache-control": "no-store" }).end("<title>page</title><body>");
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  return { port: server.address().port, stop: () => server.closeAllConnections() ?? server.close() };
}

// A visitor who lets pages of other sites send cookies, as many browsers do without being asked.
const PREFERENCES = { profile: { cookie_controls_mode: 0, block_third_party_cookies: false } };

/** Starts the program with a folder of its own; it trusts the key of the test. `open` shows a page of an origin. */
export async function chromium(executablePath, folder, spki) {
  const userDataDir = join(folder, "chromium");
  mkdirSync(join(userDataDir, "Default"), { recursive: true });
  writeFileSync(join(userDataDir, "Default", "Preferences"), JSON.stringify(PREFERENCES));
  const browser = await puppeteer.launch({
    executablePath,
    headless: true,
    userDataDir,
    args: [
      "--no-sandbox", // root in a container has none
      "--disable-dev-shm-usage",
      "--disable-gpu",
      "--no-proxy-server",
      `--ignore-certificate-errors-spki-list=${spki}`,
      "--host-resolver-rules=MAP *.example.com 127.0.0.1, MAP *.example.net 127.0.0.1, EXCLUDE 127.0.0.1",
    ],
  });
  const open = async (url) => {
    const page = await browser.newPage();
    page.setDefaultTimeout(PATIENCE);
    await page.goto(url);
    return page;
  };
  return { open, stop: () => browser.close() };
}

/** A request with fetch, as a page sees its response. */
export const call = (page, url, options = {}) =>
  page.evaluate(async (url, options) => {
    try {
      const response = await fetch(url, options);
      const text = await response.text();
      return { status: response.status, type: response.type, headers: Object.fromEntries(response.headers), text };
    } catch (error) {
      return { error: `${error}` };
    }
  }, url, options);

/** Opens a WebSocket, says hello and reads what comes back, or that it could not be opened. */
export const talk = (page, url, protocols) =>
  page.evaluate((url, protocols) => new Promise((done) => {
    const socket = new WebSocket(url, protocols);
    socket.onopen = () => socket.send("hello");
    socket.onerror = () => done({ error: true });
    socket.onmessage = ({ data }) => {
      done({ data, protocol: socket.protocol });
      socket.close();
    };
  }), url, protocols);

/** The first two events of a stream, or that it failed. */
export const events = (page, url) =>
  page.evaluate((url) => new Promise((done) => {
    const source = new EventSource(url, { withCredentials: true });
    const seen = [];
    const end = (said) => {
      source.close();
      done(said);
    };
    source.onmessage = ({ data }) => seen.push(data) === 2 && end(seen);
    source.onerror = () => end({ error: true });
  }), url);

/** Adds an element that loads something; whether it did. */
export const load = (page, name, attributes) =>
  page.evaluate((name, attributes) => new Promise((done) => {
    const element = Object.assign(document.createElement(name), attributes);
    element.onload = () => done(true);
    element.onerror = () => done(false);
    document.body.append(element);
  }), name, attributes);

/** Sends a form in a page of its own kind: the status of the page that it leads to. */
export async function submit(page, url, method) {
  const [response] = await Promise.all([
    page.waitForNavigation(),
    page.evaluate((action, method) => {
      const form = Object.assign(document.createElement("form"), { action, method });
      form.append(Object.assign(document.createElement("input"), { name: "amount", value: "1000" }));
      document.body.append(form);
      form.submit();
    }, url, method),
  ]);
  return response.status();
}
