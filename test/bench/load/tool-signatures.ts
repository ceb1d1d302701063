// The peer of tpm-signatures: tpm2_sign with a persistent key, a process for each signature.
// Arguments: the way to the TPM, the key's handle, a file with the digest, a file for signatures.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { serveRounds } from "./rounds.ts";

const [tcti = "", handle = "", digest = "", signature = ""] = process.argv.slice(2);
const run = promisify(execFile);
const env = { PATH: "/usr/bin:/bin", TPM2TOOLS_TCTI: tcti, TSS2_LOG: "all+NONE" };

serveRounds(async (count) => {
  for (let done = 0; done < count; done += 1)
    await run("tpm2_sign", ["-c", handle, "-g", "sha256", "-d", digest, "-o", signature], { env });
  return {};
});
