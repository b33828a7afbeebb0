// What a page of a foreign origin tries while its visitor is logged in.

import { call, events, load, submit, talk } from "./chromium.mjs";

// A frame without an origin of its own, whose form is sent at once.
const SANDBOX = (url) => ({
  sandbox: "allow-forms allow-scripts",
  srcdoc: `<form action="${url}" method="post"><input name="amount" value="1000"></form><script>document.forms[0].submit()</script>`,
});
const FORM = { "content-type": "application/x-www-form-urlencoded" };

/** The tries, each of a page at the foreign origin against the service. */
export const TRIES = {
  "a POST with fetch": (page, api) => call(page, `${api}/try`, { method: "POST", headers: FORM, body: "amount=1000", credentials: "include" }),
  "a POST with fetch that reads nothing": (page, api) =>
    call(page, `${api}/try`, { method: "POST", headers: FORM, body: "amount=1000", credentials: "include", mode: "no-cors" }),
  "a GET with fetch": (page, api) => call(page, `${api}/try`, { credentials: "include" }),
  "a GET with fetch that reads nothing": (page, api) => call(page, `${api}/try`, { credentials: "include", mode: "no-cors" }),
  "a WebSocket": (page, api) => talk(page, `${api.replace("https", "wss")}/try`),
  "a WebSocket with a subprotocol": (page, api) => talk(page, `${api.replace("https", "wss")}/try`, ["chat"]),
  "an EventSource": (page, api) => events(page, `${api}/events`),
  "an image": (page, api) => load(page, "img", { src: `${api}/image.gif` }),
  "an image that its page may read": (page, api) => load(page, "img", { crossOrigin: "use-credentials", src: `${api}/image.gif` }),
  "a script": (page, api) => load(page, "script", { src: `${api}/try` }),
  "a frame": (page, api) => load(page, "iframe", { src: `${api}/try` }),
  "an image by way of a redirect": (page, api) => load(page, "img", { src: `/?to=${encodeURIComponent(`${api}/image.gif`)}` }),
  "a form in a frame without an origin": (page, api) => load(page, "iframe", SANDBOX(`${api}/try`)),
  "a beacon": (page, api) => page.evaluate((url) => navigator.sendBeacon(url, "amount=1000"), `${api}/try`),
  "a form with POST": (page, api) => submit(page, `${api}/try`, "POST"),
  "a form with GET": (page, api) => submit(page, `${api}/try`, "GET"),
  "a link": (page, api) =>
    Promise.all([page.waitForNavigation(), page.evaluate((url) => void (location = url), `${api}/try`)]),
};
