// Activation of the tpm2 provider inside our own process. TLS signs with the key, so Node itself
// must know the provider from its start.
import { createPrivateKey } from "node:crypto";
import { join } from "node:path";
import type { DurableFiles } from "../../ports.ts";
import { assert, Fault } from "../../fault.ts";
import { providerEnvironment, type TpmProvider } from "./provider.ts";

const CONFIG_FILE = "openssl.cnf";
const CONFIG_BYTES_MAX = 4096;

/**
 * OpenSSL's configuration gives `$`, `#`, quotes and backslashes a meaning (config(5)). A path
 * without them is taken literally.
 */
const PLAIN_PATH = /^\/[A-Za-z0-9._/+-]+$/u;

/**
 * Writes the configuration that loads the provider, and says how Node must be started to use it.
 * OpenSSL reads it once, before any of our code. A process that runs without it replaces itself,
 * see {@link restartWith}.
 * @param options.directory the absolute path of `files`.
 * @returns variables to add to the environment.
 * @throws Fault `config.invalid` for a path that the configuration cannot hold, and those of
 *   `files`.
 */
export async function activateTpmProvider(options: {
  readonly files: DurableFiles;
  readonly directory: string;
  readonly provider: TpmProvider;
}): Promise<Readonly<Record<string, string>>> {
  const { files, directory, provider } = options;
  const text = configuration(provider);
  const present = await files.get(CONFIG_FILE, CONFIG_BYTES_MAX);
  if (present === undefined || Buffer.from(present).toString("utf8") !== text) await files.put(CONFIG_FILE, Buffer.from(text));
  return { OPENSSL_CONF: join(directory, CONFIG_FILE), ...providerEnvironment(provider) };
}

/**
 * @returns true when `environment` has everything that {@link activateTpmProvider} asked for, so
 *   that the process need not be restarted.
 */
export function isStartedWith(environment: NodeJS.ProcessEnv, required: Readonly<Record<string, string>>): boolean {
  return Object.entries(required).every(([name, value]) => environment[name] === value);
}

/**
 * Replaces this process by the same program with `required` added to its environment (execve(2)).
 * The process id stays the same, so service managers see no restart. A main.ts must call this
 * before anything else, while nothing is open.
 * @throws Fault `assert.broken` when Node lacks execve.
 */
export function restartWith(required: Readonly<Record<string, string>>): never {
  assert(process.execve !== undefined, "Node on Linux has execve");
  // From here on a signal ends the process, as it would before our first line. A signal that our
  // handler caught would be lost with this program.
  for (const name of ["SIGTERM", "SIGINT"]) process.removeAllListeners(name);
  return process.execve(process.execPath, [process.execPath, ...process.execArgv, ...process.argv.slice(1)], {
    ...process.env,
    ...required,
  });
}

/**
 * Tells whether OpenSSL in this process accepts keys of the TPM. The test is a copy of the key with
 * one bit changed: without the provider OpenSSL does not know the format, with it the TPM refuses
 * the key. The key itself would occupy one of the TPM's three slots until it is collected.
 * @param tlsKey the device key's TSS2 PEM.
 */
export function isTpmProviderActive(tlsKey: string): boolean {
  try {
    createPrivateKey({ key: damaged(tlsKey), format: "pem" });
    return true;
  } catch (error) {
    return !(error instanceof Error && "code" in error && error.code === "ERR_OSSL_UNSUPPORTED");
  }
}

/**
 * The last byte belongs to the encrypted private part, which the TPM checks (TPM 2.0 Part 1,
 * "Protected Storage", outer integrity HMAC).
 */
function damaged(pem: string): string {
  const lines = pem.trimEnd().split("\n");
  const der = Buffer.from(lines.slice(1, -1).join(""), "base64");
  der.writeUInt8(der.readUInt8(der.byteLength - 1) ^ 1, der.byteLength - 1);
  const body = der.toString("base64").match(/.{1,64}/gu) ?? [];
  return [lines[0], ...body, lines.at(-1), ""].join("\n");
}

/**
 * The default provider comes first, so that the tpm2 provider does only what it alone can do. In
 * the other order the TPM becomes the random generator, and Node hangs.
 */
function configuration({ module }: TpmProvider): string {
  if (!PLAIN_PATH.test(module))
    throw new Fault(
      "config.invalid",
      `activate the tpm2 provider "${module}": expected an absolute path of letters, digits and . _ / + -`,
    );
  return `# Written by sallyport-agent at every start; changes to this file are lost.
nodejs_conf = sallyport
openssl_conf = sallyport
[sallyport]
providers = sallyport_providers
[sallyport_providers]
default = sallyport_default
tpm2 = sallyport_tpm2
[sallyport_default]
activate = 1
[sallyport_tpm2]
module = ${module}
activate = 1
`;
}
