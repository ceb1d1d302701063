// The commands to the TPM, each an openssl child process. The provider runs in the child, so the
// agent's own Node needs it for TLS only.
import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { asFault, Fault } from "../../fault.ts";
import { defined } from "../../format/defined.ts";
import { clip } from "../../format/text.ts";
import { createMutex } from "../../mutex.ts";
import { runToExit } from "../process/index.ts";
import { opensslEnvironment, type TpmProvider } from "./provider.ts";

/**
 * One TPM command through openssl takes 10 ms on swtpm, and up to a second or two on a slow chip
 * that derives its primary key. A hung one never ends.
 */
const OPENSSL_TIMEOUT_MS = 20_000;
const OPENSSL_OUTPUT_BYTES_MAX = 16_384;

const ERROR_LINE = /^[0-9A-F]+:error:[0-9A-F]+:/u;
const REASON_CHARACTERS_MAX = 300;

/**
 * The commands run one at a time. They throw Fault `process.failed` with openssl's error text, or
 * `process.timeout`; `sign` also `file.write-failed`.
 */
export interface TpmCommands {
  /**
   * The provider's version, as it reports it. Loading the provider opens the connection to the TPM,
   * so this fails when there is none.
   */
  version(): Promise<string>;
  /** Makes the TPM answer one harmless command (TPM2_GetRandom). */
  ping(): Promise<void>;
  /** Makes a P-256 key. @returns its PEM, unchecked. */
  generate(): Promise<string>;
  /** Loads the key into the TPM. @returns its public half as PEM. */
  publicKey(keyPem: string): Promise<string>;
  /** ECDSA with SHA-256 over `data`, in DER. */
  sign(keyPem: string, data: Uint8Array): Promise<Uint8Array>;
}

/** @param program openssl 3, by a bare name from the system's folders or by an absolute path. */
export function createTpmCommands(provider: TpmProvider, program: string, timeoutMs: number = OPENSSL_TIMEOUT_MS): TpmCommands {
  const tpmOnly = ["-provider-path", dirname(provider.module), "-provider", "tpm2"];
  // default comes first: it reads files and PEM, and does not take a TSS2 key from the other
  const both = ["-provider-path", dirname(provider.module), "-provider", "default", "-provider", "tpm2"];
  const run = async (args: readonly string[], input?: string | Uint8Array): Promise<string> => {
    const bounds = { timeoutMs, outputBytesMax: OPENSSL_OUTPUT_BYTES_MAX, env: opensslEnvironment(provider) };
    const { exitCode, stdout, stderr } = await runToExit(program, args, { ...bounds, ...defined({ input }) });
    if (exitCode !== 0) throw new Fault("process.failed", `openssl ${args[0] ?? ""} failed: ${reasonIn(stderr)}`);
    return stdout;
  };
  // One at a time: each command takes two of the TPM's three slots for a moment, which matters
  // where no resource manager stands in between.
  const exclusively = createMutex();
  const openssl = (args: readonly string[], input?: string | Uint8Array): Promise<string> => exclusively(() => run(args, input));
  return {
    version: async () => versionIn(await openssl(["list", "-providers", ...tpmOnly])),
    ping: async () => void (await openssl(["rand", ...tpmOnly, "-hex", "8"])),
    // Only tpm2 is loaded, so that no other provider can make a software key instead (tpm2-openssl
    // issue 140).
    generate: () => openssl(["genpkey", ...tpmOnly, "-algorithm", "EC", "-pkeyopt", "group:P-256"]),
    publicKey: (keyPem) => openssl(["pkey", ...both, "-pubout"], keyPem),
    sign: (keyPem, data) =>
      inScratch(async (directory) => {
        const [key, signature] = [join(directory, "key.pem"), join(directory, "signature")];
        await writeFile(key, keyPem, { mode: 0o600, flag: "wx" });
        const digest = createHash("sha256").update(data).digest();
        await openssl(["pkeyutl", ...both, "-sign", "-inkey", key, "-pkeyopt", "digest:sha256", "-out", signature], digest);
        return new Uint8Array(await readFile(signature));
      }),
  };
}

/**
 * A directory for the two files that openssl takes by name only. Neither is secret: the key is
 * useless without this TPM. mkdtemp(3) makes the directory 0700.
 */
async function inScratch<T>(work: (directory: string) => Promise<T>): Promise<T> {
  const base = join(tmpdir(), "sallyport-tpm-");
  try {
    const directory = await mkdtemp(base);
    try {
      return await work(directory);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  } catch (error) {
    throw asFault(error, "file.write-failed", `write files for openssl below "${base}..."`);
  }
}

/**
 * Pure. The reason in openssl's first error line,
 * `THREAD:error:CODE:library:function:reason:file:line:data`. The tpm2 provider leaves library and
 * function empty and puts the TPM's own text into the data, such as `tcti:IO failure`. Hints and
 * later lines are consequences of it.
 */
export function reasonIn(stderr: string): string {
  const lines = stderr.trim().split("\n");
  const line = lines.find((line) => ERROR_LINE.test(line)) ?? lines[0] ?? "";
  const reason = line
    .replace(ERROR_LINE, "")
    .replaceAll(/[^\x20-\x7e]+/gu, " ")
    .trim();
  return reason === "" ? "it gave no reason" : clip(reason, REASON_CHARACTERS_MAX);
}

/** Pure. The version of the provider, in what openssl lists; "" when there is none. */
export function versionIn(listing: string): string {
  return /^[ \t]*version:[ \t]*(\S+)/mu.exec(listing)?.[1] ?? "";
}
