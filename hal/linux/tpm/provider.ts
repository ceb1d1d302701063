// OpenSSL's tpm2 provider: where it is, where the TPM is, and how a child process is told.
import { defined } from "../../format/defined.ts";
import { CHILD_PATH } from "../process/index.ts";

export interface TpmProvider {
  /** Absolute path of the provider's `tpm2.so`, 1.2.0 or later. */
  readonly module: string;
  /** Where its tss2 libraries lie when that is not where the loader looks. */
  readonly libraryPath?: string;
  /** The way to the TPM, as tss2 writes it: `device:/dev/tpmrm0`, `swtpm:host=127.0.0.1,port=2321`. */
  readonly tcti: string;
}

/** The kernel's resource manager, which gives every process slots of its own. /dev/tpm0 has one user at a time. */
export const TPM_DEVICE_TCTI = "device:/dev/tpmrm0";

/** Where Debian's package tpm2-openssl puts the provider. */
export function systemTpmProvider(): TpmProvider {
  const triplet = process.arch === "arm64" ? "aarch64-linux-gnu" : "x86_64-linux-gnu";
  return { module: `/usr/lib/${triplet}/ossl-modules/tpm2.so`, tcti: TPM_DEVICE_TCTI };
}

/**
 * What the provider reads from the environment: tpm2-openssl's docs/initialization.md for TPM2OPENSSL_TCTI, tpm2-tss's doc/logging.md for TSS2_LOG. It logs to
 * stderr by default, on every failed command; what matters reaches us as OpenSSL's error.
 */
export function providerEnvironment({ libraryPath, tcti }: TpmProvider): Readonly<Record<string, string>> {
  return {
    TPM2OPENSSL_TCTI: tcti,
    TSS2_LOG: "all+NONE",
    ...defined({ LD_LIBRARY_PATH: libraryPath }),
  };
}

/** For openssl as a child: the machine's own openssl.cnf is left out, as it may load other providers or set queries. */
export function opensslEnvironment(provider: TpmProvider): Readonly<Record<string, string>> {
  return { PATH: CHILD_PATH, LC_ALL: "C", OPENSSL_CONF: "/dev/null", ...providerEnvironment(provider) };
}
