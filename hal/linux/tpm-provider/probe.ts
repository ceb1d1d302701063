// The check whether OpenSSL's tpm2 provider can do TLS with a key of the TPM. If not, the reason
// tells an operator what to do.
import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { dirname } from "node:path";
import { Fault } from "../../fault.ts";
import { clip } from "../../format/text.ts";
import { runToExit } from "../process/index.ts";
import { opensslEnvironment, type TpmProvider } from "./provider.ts";

/**
 * With older versions the key loads and TLS then fails, or Node hangs at its start (seen with
 * Debian 12's 1.1.1).
 */
const VERSION_MIN = [1, 2, 0] as const;

const INSTALL = `install tpm2-openssl ${VERSION_MIN.join(".")} or later`;

/** The provider connects to the TPM when it is loaded. A chip that answers takes milliseconds. */
const OPENSSL_TIMEOUT_MS = 20_000;
const OPENSSL_OUTPUT_BYTES_MAX = 16_384;

const ERROR_LINE = /^[0-9A-F]+:error:[0-9A-F]+:/u;
const REASON_CHARACTERS_MAX = 300;

/**
 * @param program openssl 3, by a bare name from the system's folders or by an absolute path.
 * @returns undefined when the provider is present and recent enough; otherwise the first reason
 *   found. Ask only where the TPM answers: the provider does not load without one.
 */
export async function whyProviderUnusable(provider: TpmProvider, program: string): Promise<string | undefined> {
  const { module } = provider;
  try {
    await access(module, constants.R_OK);
  } catch (error) {
    const errno = error instanceof Error && "code" in error ? String(error.code) : "unknown error";
    return `OpenSSL's tpm2 provider is not at "${module}" (${errno}); ${INSTALL}`;
  }
  const args = ["list", "-providers", "-provider-path", dirname(module), "-provider", "tpm2"];
  const bounds = { timeoutMs: OPENSSL_TIMEOUT_MS, outputBytesMax: OPENSSL_OUTPUT_BYTES_MAX, env: opensslEnvironment(provider) };
  try {
    const { exitCode, stdout, stderr } = await runToExit(program, args, bounds);
    if (exitCode !== 0) return `OpenSSL's tpm2 provider cannot be loaded: ${reasonIn(stderr)}; ${INSTALL}`;
    const version = versionIn(stdout);
    return isNewEnough(version) ? undefined : `OpenSSL's tpm2 provider is version "${version}", too old to do TLS; ${INSTALL}`;
  } catch (error) {
    if (error instanceof Fault && error.code.startsWith("process.")) return error.message;
    throw error;
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

/**
 * Pure. Accepts `1.3.0`, also with a suffix such as `1.3.0-rc1` or `1.2.0-12-gabcdef`. A text that
 * is not a version is not new enough.
 */
export function isNewEnough(version: string): boolean {
  const parts = /^(\d+)\.(\d+)(?:\.(\d+))?/u
    .exec(version)
    ?.slice(1)
    .map((part) => Number(part ?? 0));
  if (parts === undefined) return false;
  for (const [index, required] of VERSION_MIN.entries()) {
    const part = parts[index] ?? 0;
    if (part !== required) return part > required;
  }
  return true;
}
