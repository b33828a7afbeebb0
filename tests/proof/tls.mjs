// Certificates of an authority of this run.

import { execFileSync } from "node:child_process";
import { createHash, X509Certificate } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Writes `ca.crt`, `tls.crt` and `tls.key` for names into a folder. It gives their contents. */
export function certificates(folder, names) {
  const openssl = (...args) => execFileSync("openssl", args.join(" ").split(" "), { cwd: folder, stdio: "ignore" });
  const key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
  const all = names.map((name) => `${/^[\d.]+$/.test(name) ? "IP" : "DNS"}:${name}`).join(",");
  writeFileSync(join(folder, "tls.ext"), `basicConstraints=CA:FALSE\nsubjectAltName=${all}\n`);
  openssl("req -x509 -days 2", key, "-subj /CN=proof -addext keyUsage=critical,keyCertSign -keyout ca.key -out ca.crt");
  openssl("req", key, "-subj /CN=service -keyout tls.key -out tls.csr");
  openssl("x509 -req -days 2 -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -extfile tls.ext -out tls.crt");
  const read = (name) => readFileSync(join(folder, name));
  const publicKey = new X509Certificate(read("tls.crt")).publicKey.export({ type: "spki", format: "der" });
  const spki = createHash("sha256").update(publicKey).digest("base64");
  return { ca: join(folder, "ca.crt"), cert: read("tls.crt"), key: read("tls.key"), spki };
}
