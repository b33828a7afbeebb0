// An image in the layout of OCI, made of nothing but bytes of its own.

import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

/** Writes an image with one layer of so many bytes; its digest. */
export function image(folder, size) {
  const blobs = join(folder, "blobs", "sha256");
  mkdirSync(blobs, { recursive: true });
  const blob = (mediaType, bytes) => {
    const hash = createHash("sha256").update(bytes).digest("hex");
    writeFileSync(join(blobs, hash), bytes);
    return { mediaType, digest: `sha256:${hash}`, size: bytes.length };
  };
  const json = (mediaType, value) => blob(mediaType, Buffer.from(JSON.stringify(value)));
  const kind = (name) => `application/vnd.oci.image.${name}`;

  writeFileSync(join(folder, "data.bin"), randomBytes(size));
  const tar = execFileSync("tar", ["-cf", "-", "-C", folder, "data.bin"], { maxBuffer: 2 * size + 65_536 });
  const diff = `sha256:${createHash("sha256").update(tar).digest("hex")}`;
  const layer = blob(kind("layer.v1.tar+gzip"), gzipSync(tar));
  const rootfs = { type: "layers", diff_ids: [diff] };
  const config = json(kind("config.v1+json"), { architecture: "amd64", os: "linux", rootfs, config: {} });
  const mediaType = kind("manifest.v1+json");
  const manifest = json(mediaType, { schemaVersion: 2, mediaType, config, layers: [layer] });
  const annotations = { "org.opencontainers.image.ref.name": "latest" };
  writeFileSync(join(folder, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] }));
  writeFileSync(join(folder, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  return manifest.digest;
}
