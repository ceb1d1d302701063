// What the agent's main does with a key in a TPM: it restarts itself with the provider when that is
// missing, then keeps one SecureContext for every connection. Arguments: JSON of {wanted, port,
// keyFile, certFile, authorityFile, connections}. Prints one JSON line for each step.
import { readFileSync } from "node:fs";
import { connect, createSecureContext, type SecureContext } from "node:tls";
import * as v from "valibot";
import { isStartedWith, isTpmProviderActive, restartWith } from "../../../../hal/linux/tpm-provider/index.ts";

const argumentsSchema = v.strictObject({
  wanted: v.record(v.string(), v.string()),
  restart: v.boolean(),
  port: v.number(),
  keyFile: v.string(),
  certFile: v.string(),
  authorityFile: v.string(),
  connections: v.number(),
});

const say = (line: unknown): void => console.log(JSON.stringify(line));

/** @returns what the server sent before it ended the connection. */
function talk(port: number, secureContext: SecureContext): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1", servername: "localhost", secureContext, minVersion: "TLSv1.3" });
    let heard = "";
    socket.setEncoding("utf8");
    socket.on("data", (text: string) => (heard += text));
    socket.on("end", () => resolve(heard));
    socket.on("error", reject);
  });
}

const options = v.parse(argumentsSchema, JSON.parse(process.argv[2] ?? ""));
if (options.restart && !isStartedWith(process.env, options.wanted)) {
  say({ step: "restart", processId: process.pid });
  restartWith(options.wanted);
}
const key = readFileSync(options.keyFile, "utf8");
// more often than the TPM has slots, because asking takes none
const active = Array.from({ length: 5 }, () => isTpmProviderActive(key)).every(Boolean);
say({ step: "started", processId: process.pid, active });
try {
  const context = createSecureContext({ key, cert: readFileSync(options.certFile), ca: readFileSync(options.authorityFile) });
  for (let left = options.connections; left > 0; left -= 1) say({ step: "heard", words: await talk(options.port, context) });
} catch (error) {
  say({ step: "failed", code: error instanceof Error && "code" in error ? error.code : String(error) });
}
