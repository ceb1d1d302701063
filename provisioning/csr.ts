// The certificate request of this device: what the machine is, in the terms of X.509. [ID-5]
import type { DeviceIdentity } from "../hal/format/identity.ts";
import type { DeviceKey } from "../hal/ports.ts";
import { buildRequest, type CertificateRequest, der, macUrn, opsUrn } from "./x509/format/index.ts";

export interface RequestOptions {
  /** C2SP verifier key of the warden's audit log. [AUD-7] */
  readonly auditKey: string | undefined;
  /** IANA private enterprise number. Without one there is no `urn:dev:ops:`. */
  readonly enterpriseNumber: number | undefined;
}

/**
 * A board serial that a PrintableString, as X.509 demands for serialNumber, cannot hold is left
 * out. The device id, which is made from it, is in the CN.
 * @throws Fault `csr.invalid`.
 */
export function describeRequest(
  identity: DeviceIdentity,
  { publicKey, protection }: Pick<DeviceKey, "publicKey" | "protection">,
  options: RequestOptions,
): CertificateRequest {
  const { id, boardSerial, macs, model } = identity;
  const ops =
    options.enterpriseNumber === undefined ? undefined : opsUrn(options.enterpriseNumber, productOf(model), boardSerial ?? id);
  return {
    commonName: id,
    serialNumber: boardSerial !== undefined && der.isPrintable(boardSerial) ? boardSerial : undefined,
    uris: [...macs.map((mac) => macUrn(mac)), ...(ops === undefined ? [] : [ops])],
    publicKey,
    auditKey: options.auditKey,
    protection,
  };
}

/**
 * The key signs where it is stored. [ID-4]
 * @returns PKCS#10 DER.
 * @throws Fault `csr.invalid`, or what the key throws.
 */
export async function signRequest(identity: DeviceIdentity, key: DeviceKey, options: RequestOptions): Promise<Uint8Array> {
  return buildRequest(describeRequest(identity, key, options), async (data) => key.sign(data));
}

/** A product in a URN has only letters, digits and dots. */
function productOf(model: string | undefined): string {
  const letters = (model ?? "").replaceAll(/[^A-Za-z0-9.]/g, "").slice(0, 64);
  return letters === "" ? "Gateway" : letters;
}
