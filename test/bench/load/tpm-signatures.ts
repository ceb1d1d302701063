// Signatures by our own TPM commands. Arguments: the way to the TPM, the key as a TSS2 file, and
// `load` to load and flush the key for each signature, or `keep` to load it once a round.
import { readFileSync } from "node:fs";
import { load, openTpmAt, readPublicOf, readTss2Pem, sign, type Tpm, type TpmEntity } from "../../../hal/linux/tpm/index.ts";
import { serveRounds } from "./rounds.ts";

const [tcti = "", keyFile = "", mode = "load"] = process.argv.slice(2);
const key = readTss2Pem(readFileSync(keyFile, "utf8"));
const digest = new Uint8Array(32).fill(7);

async function loadAndSign(tpm: Tpm, parent: TpmEntity): Promise<void> {
  await using loaded = await load(tpm, parent, key);
  await sign(tpm, loaded, digest);
}

serveRounds(async (count) => {
  await using tpm = await openTpmAt(tcti);
  const parent = await readPublicOf(tpm, key.parent);
  if (mode === "load") {
    for (let done = 0; done < count; done += 1) await loadAndSign(tpm, parent);
    return {};
  }
  await using loaded = await load(tpm, parent, key);
  for (let done = 0; done < count; done += 1) await sign(tpm, loaded, digest);
  return {};
});
