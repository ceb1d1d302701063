// Device names as URNs (RFC 9039). [ID-5]
import { Fault } from "../../../hal/fault.ts";

/**
 * `urn:dev:mac:` with the EUI-64 of an EUI-48: ff fe between the organisation's half and the
 * device's (RFC 9039 section 4.1; ff ff would be for the obsolete MAC-48). No bit is inverted, as
 * it would be in IPv6's "modified" EUI-64.
 * @param mac in lower case, separated by colons.
 * @throws Fault `csr.invalid` for another form.
 */
export function macUrn(mac: string): string {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(mac))
    throw new Fault("csr.invalid", `expected a MAC such as 02:00:5e:10:00:01, got "${mac}"`);
  const digits = mac.replaceAll(":", "");
  return `urn:dev:mac:${digits.slice(0, 6)}fffe${digits.slice(6)}`;
}

/**
 * `urn:dev:ops:` number `-` product `-` serial (RFC 9039 section 4.4). A product has letters,
 * digits and dots, a serial also dashes. Other characters cannot be written there, not even
 * percent-encoded.
 * @param enterprise IANA private enterprise number.
 * @returns undefined when product or serial cannot be written. The name is optional, so its absence
 *   is no fault.
 * @throws Fault `csr.invalid` for a malformed enterprise number.
 */
export function opsUrn(enterprise: number, product: string, serial: string): string | undefined {
  if (!Number.isSafeInteger(enterprise) || enterprise < 1)
    throw new Fault("csr.invalid", `expected an IANA private enterprise number, got ${enterprise}`);
  if (!/^[A-Za-z0-9.]{1,64}$/.test(product) || !/^[A-Za-z0-9.-]{1,64}$/.test(serial)) return undefined;
  return `urn:dev:ops:${enterprise}-${product}-${serial}`;
}
