// OpenSSL's command line with its tpm2 provider: another program that uses our keys.
import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { runProgram } from "../../../hal/linux/process/index.ts";
import { opensslEnvironment } from "../../../hal/linux/tpm-provider/index.ts";
import { HANG_MS } from "../runner/process.ts";
import { tpm2Provider } from "../runner/needs.ts";
import type { Swtpm } from "./swtpm.ts";

export interface ProviderCommands {
  /** Makes a P-256 key as TSS2 PEM, under protection against dictionary attacks. */
  readonly generate: () => Promise<string>;
  /** @returns the public half of a TSS2 PEM, as PEM. */
  readonly publicKey: (pem: string) => Promise<string>;
  /** ECDSA with SHA-256 over `data`, in DER. */
  readonly sign: (pem: string, data: Uint8Array) => Promise<Uint8Array>;
}

/** Each command is a process of its own, which loads the provider and leaves nothing loaded. */
export function providerCommands({ tcti }: Pick<Swtpm, "tcti">): ProviderCommands {
  const provider = { module: "", ...tpm2Provider(), tcti };
  const path = ["-provider-path", dirname(provider.module)];
  // default comes first: it reads files and PEM, and does not take a TSS2 key from the other
  const both = [...path, "-provider", "default", "-provider", "tpm2"];
  const openssl = (args: readonly string[]): Promise<{ readonly stdout: string }> =>
    runProgram("openssl", args, { timeoutMs: HANG_MS, outputBytesMax: 65_536, env: opensslEnvironment(provider) });
  const withFile = async <T>(pem: string, work: (key: string, directory: string) => Promise<T>): Promise<T> => {
    const directory = await mkdtemp(join(tmpdir(), "tpm2-provider-"));
    try {
      await writeFile(join(directory, "key.pem"), pem, { mode: 0o600 });
      return await work(join(directory, "key.pem"), directory);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  };
  return {
    generate: async () =>
      (await openssl(["genpkey", ...path, "-provider", "tpm2", "-algorithm", "EC", "-pkeyopt", "group:P-256"])).stdout,
    publicKey: (pem) => withFile(pem, async (key) => (await openssl(["pkey", ...both, "-in", key, "-pubout"])).stdout),
    sign: (pem, data) =>
      withFile(pem, async (key, directory) => {
        const [digest, signature] = [join(directory, "digest"), join(directory, "signature")];
        await writeFile(digest, createHash("sha256").update(data).digest());
        await openssl([
          "pkeyutl",
          ...both,
          "-sign",
          "-inkey",
          key,
          "-pkeyopt",
          "digest:sha256",
          "-in",
          digest,
          "-out",
          signature,
        ]);
        return new Uint8Array(await readFile(signature));
      }),
  };
}
