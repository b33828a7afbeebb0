// yaml-language-server as an editor starts it: a process that speaks LSP over its standard input and output.

import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";

const PROGRAM = join(
  dirname(createRequire(import.meta.url).resolve("yaml-language-server/package.json")),
  "bin/yaml-language-server",
);

/** Messages with their length in front of them (LSP 3.17, base protocol). */
class Messages {
  #buffer = Buffer.alloc(0);

  *of(bytes) {
    this.#buffer = Buffer.concat([this.#buffer, bytes]);
    for (;;) {
      const end = this.#buffer.indexOf("\r\n\r\n");
      if (end < 0) return;
      const length = Number(/content-length: *(\d+)/i.exec(this.#buffer.subarray(0, end).toString())[1]);
      const start = end + 4;
      if (this.#buffer.length < start + length) return;
      yield JSON.parse(this.#buffer.subarray(start, start + length).toString());
      this.#buffer = this.#buffer.subarray(start + length);
    }
  }
}

export class LanguageServer {
  #process = spawn(process.execPath, [PROGRAM, "--stdio"], { stdio: ["pipe", "pipe", "inherit"] });
  #waiting = new Map();
  #diagnostics = new Map();
  #folder;
  #files = 0;

  /** Starts one whose files are in a folder. */
  static async start(folder) {
    const server = new LanguageServer();
    server.#folder = folder;
    const messages = new Messages();
    server.#process.stdout.on("data", (bytes) => {
      for (const message of messages.of(bytes)) server.#receive(message);
    });
    const completion = { completionItem: { snippetSupport: true, documentationFormat: ["markdown", "plaintext"] } };
    const hover = { contentFormat: ["markdown"] };
    await server.#request("initialize", {
      processId: process.pid,
      rootUri: null,
      capabilities: { textDocument: { completion, hover } },
    });
    server.#notify("initialized", {});
    const yaml = { validate: true, hover: true, completion: true, schemaStore: { enable: false } };
    server.#notify("workspace/didChangeConfiguration", { settings: { yaml } });
    return server;
  }

  stop() {
    this.#process.kill();
  }

  /** Opens a text as a file beside the schemas. */
  #open(text) {
    const path = join(this.#folder, `${++this.#files}.yaml`);
    const uri = pathToFileURL(path).href;
    writeFileSync(path, text);
    this.#notify("textDocument/didOpen", { textDocument: { uri, languageId: "yaml", version: 1, text } });
    return { uri };
  }

  /** Opens a text with `|` where the cursor is. */
  #openAt(text) {
    const [before, ...behind] = text.split("|");
    const lines = before.split("\n");
    const position = { line: lines.length - 1, character: lines.at(-1).length };
    return { textDocument: this.#open(before + behind.join("|")), position };
  }

  /** What is offered at the cursor: labels with what their description says. */
  async completions(text) {
    const { result } = await this.#request("textDocument/completion", this.#openAt(text));
    const items = result?.items ?? result ?? [];
    return new Map(items.map(({ label, documentation }) => [label, documentation?.value ?? documentation ?? ""]));
  }

  /** What is shown for the word at the cursor. */
  async hover(text) {
    const { result } = await this.#request("textDocument/hover", this.#openAt(text));
    return result?.contents?.value ?? "";
  }

  /** What is marked in a text: the words and the messages. */
  async faults(text) {
    const { uri } = this.#open(text);
    const diagnostics = await new Promise((done) => {
      this.#diagnostics.set(uri, done);
    });
    const lines = text.split("\n");
    return diagnostics.map(({ range: { start, end }, message }) => ({
      marked: lines[start.line].slice(start.character, start.line === end.line ? end.character : undefined),
      message,
    }));
  }

  #request(method, params) {
    const id = this.#waiting.size + 1;
    return new Promise((done) => {
      this.#waiting.set(id, done);
      this.#send({ id, method, params });
    });
  }

  #notify(method, params) {
    this.#send({ method, params });
  }

  #send(message) {
    const body = Buffer.from(JSON.stringify({ jsonrpc: "2.0", ...message }));
    this.#process.stdin.write(`Content-Length: ${body.length}\r\n\r\n`);
    this.#process.stdin.write(body);
  }

  #receive({ id, method, params, result, error }) {
    if (id !== undefined && method !== undefined) {
      // The server asks for settings: none for any file.
      this.#send({ id, result: method === "workspace/configuration" ? params.items.map(() => ({})) : null });
    } else if (id !== undefined) {
      this.#waiting.get(id)({ result, error });
    } else if (method === "textDocument/publishDiagnostics") {
      this.#diagnostics.get(params.uri)?.(params.diagnostics);
    }
  }
}
