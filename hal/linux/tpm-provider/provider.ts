// OpenSSL's tpm2 provider: where it lies, how the TPM is reached, and the environment that tells a
// child process both.
import { defined } from "../../format/defined.ts";
import { CHILD_PATH } from "../process/index.ts";

export interface TpmProvider {
  /** Absolute path of the provider's `tpm2.so`, 1.2.0 or later. */
  readonly module: string;
  /** The folder of its tss2 libraries when the loader would not find them. */
  readonly libraryPath?: string;
  /**
   * The way to the TPM in tss2's notation: `device:/dev/tpmrm0`, `swtpm:host=127.0.0.1,port=2321`.
   */
  readonly tcti: string;
}

/**
 * The kernel's resource manager, which gives every process slots of its own. /dev/tpm0 has one user
 * at a time.
 */
export const TPM_DEVICE_TCTI = "device:/dev/tpmrm0";

/** The place where Debian's package tpm2-openssl installs the provider. */
export function systemTpmProvider(): TpmProvider {
  const triplet = process.arch === "arm64" ? "aarch64-linux-gnu" : "x86_64-linux-gnu";
  return { module: `/usr/lib/${triplet}/ossl-modules/tpm2.so`, tcti: TPM_DEVICE_TCTI };
}

/**
 * The variables that the provider reads: TPM2OPENSSL_TCTI (tpm2-openssl, docs/initialization.md)
 * and TSS2_LOG (tpm2-tss, doc/logging.md). By default it logs to stderr on every failed command;
 * what matters reaches us as OpenSSL's error.
 */
export function providerEnvironment({ libraryPath, tcti }: TpmProvider): Readonly<Record<string, string>> {
  return {
    TPM2OPENSSL_TCTI: tcti,
    TSS2_LOG: "all+NONE",
    ...defined({ LD_LIBRARY_PATH: libraryPath }),
  };
}

/**
 * For openssl as a child process. The machine's own openssl.cnf is left out, because it may load
 * other providers or set property queries.
 */
export function opensslEnvironment(provider: TpmProvider): Readonly<Record<string, string>> {
  return { PATH: CHILD_PATH, LC_ALL: "C", OPENSSL_CONF: "/dev/null", ...providerEnvironment(provider) };
}
