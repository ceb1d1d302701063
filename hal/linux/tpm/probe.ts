// The check whether the TPM can be used. If not, the reason tells an operator what to do.
import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { Fault } from "../../fault.ts";
import { findProgram } from "../process/index.ts";
import type { TpmCommands } from "./openssl.ts";
import type { TpmProvider } from "./provider.ts";

/**
 * With older versions the key loads and TLS then fails, or Node hangs at its start (seen with
 * Debian 12's 1.1.1).
 */
const VERSION_MIN = [1, 2, 0] as const;

const INSTALL = `install tpm2-openssl ${VERSION_MIN.join(".")} or later`;

/**
 * @returns undefined when provider and TPM are present, recent enough and answer; otherwise the
 *   first reason found. The cheapest check comes first.
 */
export async function whyUnavailable(provider: TpmProvider, program: string, commands: TpmCommands): Promise<string | undefined> {
  return (
    (await deviceProblem(provider.tcti)) ??
    (await fileProblem(provider.module)) ??
    programProblem(program) ??
    (await answerProblem(provider.tcti, commands))
  );
}

async function deviceProblem(tcti: string): Promise<string | undefined> {
  const path = /^device:(\/.+)$/u.exec(tcti)?.[1];
  // a TPM that is reached in another way shows by its answer that it is there
  if (path === undefined) return undefined;
  switch (await errnoOf(access(path, constants.R_OK | constants.W_OK))) {
    case undefined:
      return undefined;
    case "ENOENT":
      return `this machine has no TPM device "${path}"; where it has a TPM 2.0, enable it in the firmware`;
    case "EACCES":
    case "EPERM":
      return `the TPM device "${path}" may not be opened; add this user to the group that owns it`;
    default:
      return `the TPM device "${path}" cannot be opened`;
  }
}

async function fileProblem(module: string): Promise<string | undefined> {
  const errno = await errnoOf(access(module, constants.R_OK));
  return errno === undefined ? undefined : `OpenSSL's tpm2 provider is not at "${module}" (${errno}); ${INSTALL}`;
}

function programProblem(program: string): string | undefined {
  try {
    findProgram(program);
    return undefined;
  } catch (error) {
    if (error instanceof Fault && error.code === "process.failed") return error.message;
    throw error;
  }
}

async function answerProblem(tcti: string, commands: TpmCommands): Promise<string | undefined> {
  try {
    const version = await commands.version();
    if (!isNewEnough(version)) return `OpenSSL's tpm2 provider is version "${version}", too old to do TLS; ${INSTALL}`;
    await commands.ping();
    return undefined;
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    if (error.code === "process.timeout") return `the TPM at "${tcti}" does not answer in time; power-cycle the device`;
    if (error.code !== "process.failed") throw error;
    // tpm2-openssl names the layer of an error: "tcti:" is the way to the TPM, "tpm:" the TPM
    // itself.
    if (/\b(tcti|tpm|esapi|sys):/u.test(error.message)) return `the TPM at "${tcti}" does not answer: ${error.message}`;
    return `OpenSSL's tpm2 provider cannot be loaded: ${error.message}; ${INSTALL}`;
  }
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

async function errnoOf(attempt: Promise<void>): Promise<string | undefined> {
  try {
    await attempt;
    return undefined;
  } catch (error) {
    return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "unknown error";
  }
}
