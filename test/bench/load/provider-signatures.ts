// The peer of tpm-signatures with a loaded key: node:crypto with OpenSSL's tpm2 provider. Argument:
// the key as a TSS2 file.
import { createPrivateKey, sign } from "node:crypto";
import { readFileSync } from "node:fs";
import { serveRounds } from "./rounds.ts";

// Loaded once: Node keeps a key's slot until it collects the key.
const key = createPrivateKey(readFileSync(process.argv[2] ?? ""));
const data = Buffer.alloc(32, 7);

serveRounds(async (count) => {
  for (let done = 0; done < count; done += 1) sign("sha256", data, key);
  return {};
});
