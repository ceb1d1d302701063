// The provider inside our own process: TLS signs with the key, so Node itself has to know it, from its start on.
import { createPrivateKey } from "node:crypto";
import { join } from "node:path";
import type { DurableFiles } from "../../ports.ts";
import { assert, Fault } from "../../fault.ts";
import { providerEnvironment, type TpmProvider } from "./provider.ts";

const CONFIG_FILE = "openssl.cnf";
const CONFIG_BYTES_MAX = 4096;

/** OpenSSL's configuration has `$`, `#`, quotes and backslashes as syntax (config(5)): a path with none of them stays a path. */
const PLAIN_PATH = /^\/[A-Za-z0-9._/+-]+$/u;

/**
 * Writes the configuration that loads the provider, and says how Node must be started to use it. OpenSSL reads it once, before any of our code: a process that
 * runs without it replaces itself, see {@link restartWith}.
 * @param options.directory the absolute path of `files`.
 * @returns variables to add to the environment.
 * @throws Fault `config.invalid` for a path that the configuration can't hold; and those of `files`.
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

/** @returns true when `environment` has all that {@link activateTpmProvider} asked for: the process need not be started again. */
export function isStartedWith(environment: NodeJS.ProcessEnv, wanted: Readonly<Record<string, string>>): boolean {
  return Object.entries(wanted).every(([name, value]) => environment[name] === value);
}

/**
 * Replaces this process by the same program with `wanted` added to its environment (execve(2)): same process id, so service managers see no restart.
 * To be called first thing in a main.ts, before anything is open.
 * @throws Fault `assert.broken` where Node can't.
 */
export function restartWith(wanted: Readonly<Record<string, string>>): never {
  assert(process.execve !== undefined, "Node on Linux has execve");
  // a signal that comes from here on ends the process, as it would before our first line: caught by this one, it would be gone with it
  for (const name of ["SIGTERM", "SIGINT"]) process.removeAllListeners(name);
  return process.execve(process.execPath, [process.execPath, ...process.execArgv, ...process.argv.slice(1)], {
    ...process.env,
    ...wanted,
  });
}

/**
 * Does OpenSSL in this process take keys of the TPM? Shown by a copy of the key with one bit changed: without the provider OpenSSL does not know the format,
 * with it the TPM refuses the key. The key itself would take one of the TPM's three slots until it is collected.
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

/** The last byte belongs to the encrypted private part, which the TPM checks (TPM 2.0 Part 1, "Protected Storage", outer integrity HMAC). */
function damaged(pem: string): string {
  const lines = pem.trimEnd().split("\n");
  const der = Buffer.from(lines.slice(1, -1).join(""), "base64");
  der.writeUInt8(der.readUInt8(der.byteLength - 1) ^ 1, der.byteLength - 1);
  const body = der.toString("base64").match(/.{1,64}/gu) ?? [];
  return [lines[0], ...body, lines.at(-1), ""].join("\n");
}

/** Default first: the provider then does only what it alone can. The other way round the TPM becomes the random generator, and Node hangs. */
function configuration({ module }: TpmProvider): string {
  if (!PLAIN_PATH.test(module))
    throw new Fault(
      "config.invalid",
      `activate the tpm2 provider "${module}": expected an absolute path of letters, digits and . _ / + -`,
    );
  return `# Written by sallyport-agent at every start; what is changed here is lost.
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
