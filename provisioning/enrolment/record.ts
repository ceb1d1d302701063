// The stored certificate request. RFC 7030 section 4.2.3 has the client repeat the *same* request
// after a 202, and a reboot is no reason to make another one.
import { Fault } from "../../hal/fault.ts";
import type { DurableFiles } from "../../hal/ports.ts";
import { type CertificateRequest, isOfBefore, parseRequest, REQUEST_BYTES_MAX } from "../x509/format/index.ts";

const NAME = "request.der";

/**
 * @returns the stored request if it still asks for exactly `expected`. A damaged one, or one for
 *   another key, id, audit key or protection, counts as none, and so does one in the form of
 *   earlier agents: a server with GnuTLS would refuse it again and again. [ID-85]
 */
export async function loadRequest(files: DurableFiles, expected: CertificateRequest): Promise<Uint8Array | undefined> {
  const bytes = await files.get(NAME, REQUEST_BYTES_MAX);
  if (bytes === undefined) return undefined;
  try {
    return asText(parseRequest(bytes)) === asText(expected) && !isOfBefore(bytes) ? bytes : undefined;
  } catch (error) {
    if (!(error instanceof Fault && error.code === "csr.invalid")) throw error;
    files.noteDamage?.(new Fault(error.code, `the stored request "${NAME}" is damaged, and is made again: ${error.message}`));
    return undefined;
  }
}

/** @throws Fault of {@link DurableFiles}. */
export async function storeRequest(files: DurableFiles, request: Uint8Array): Promise<void> {
  await files.put(NAME, request);
}

function asText(request: CertificateRequest): string {
  const { commonName, serialNumber = null, uris, publicKey, auditKey = null, protection = null } = request;
  return JSON.stringify([commonName, serialNumber, uris, Buffer.from(publicKey).toString("hex"), auditKey, protection]);
}
