// Tokens of an issuer that Sidegate knows by the file of its public key.

import { writeFileSync } from "node:fs";
import { join } from "node:path";

import * as jose from "jose";

const ISSUER = "https://login.example.com";
const AUDIENCE = "proof";

/** What a policy says about the issuer, as YAML. */
export const JWT = `jwt:
  issuers:
    - issuer: ${ISSUER}
      audience: [${AUDIENCE}]
      algorithms: [ES256]
      keys: { jwks: { file: ../keys.json } }`;

/** An issuer whose key set is in a folder. It gives a function that makes tokens. */
export async function issuer(folder) {
  const pair = await jose.generateKeyPair("ES256", { extractable: true });
  const key = { ...(await jose.exportJWK(pair.publicKey)), kid: "proof", alg: "ES256", use: "sig" };
  writeFileSync(join(folder, "keys.json"), JSON.stringify({ keys: [key] }));
  return (subject, claims = {}, expires = "10m") =>
    new jose.SignJWT(claims)
      .setProtectedHeader({ alg: "ES256", kid: "proof" })
      .setIssuer(ISSUER).setAudience(AUDIENCE).setSubject(subject).setIssuedAt().setExpirationTime(expires)
      .sign(pair.privateKey);
}
