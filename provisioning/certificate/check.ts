// The check of an issued certificate: whether it is one for this device. [ID-8]
import { X509Certificate } from "node:crypto";
import { Fault } from "../../hal/fault.ts";
import { certificateBlocks, publicKeyOf, readPins } from "../../hal/format/pins.ts";
import { quoted } from "../../hal/format/text.ts";
import { chainToShow, wayToPin } from "../chain.ts";
import { CLIENT_AUTH, isFor } from "../key-usage.ts";
import { CLOCK_SKEW_MS } from "./limits.ts";

export interface ExpectedCertificate {
  readonly deviceId: string;
  /** DER SubjectPublicKeyInfo of our key. */
  readonly publicKey: Uint8Array;
  /** PEM of the pinned authorities. [ID-80] */
  readonly authority: string;
  /** The wall clock, only when it can be trusted: in 1970 every certificate lies in the future. */
  readonly nowMs: number | undefined;
}

/** A certificate that was checked. */
export interface DeviceCertificate {
  /** The certificate followed by its intermediates, as TLS sends them. [ID-83] */
  readonly pem: string;
  /** Hex, as Node and openssl print it. */
  readonly serial: string;
  /** For people: the CN of the issuer, or its whole name when it has no CN. */
  readonly issuer: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/**
 * Finds our certificate by its key among `certificates` (each DER, in any order) and checks it. Of
 * two with our key, as a renewal may answer, the one that ends last counts.
 * @throws Fault `enrol.mismatch` that names every fault at once; `x509.invalid` for bytes that are
 *   not a certificate.
 */
export function checkIssued(certificates: readonly Uint8Array[], expected: ExpectedCertificate): DeviceCertificate {
  const all = certificates.map((bytes) => parse(bytes));
  const [leaf] = all
    .filter((one) => publicKeyOf(one)?.equals(expected.publicKey))
    .toSorted((one, other) => other.validToDate.getTime() - one.validToDate.getTime());
  if (leaf === undefined) throw new Fault("enrol.mismatch", `check issued certificate: none of ${all.length} has our public key`);

  const pins = readPins(expected.authority);
  const way = wayToPin(pins, leaf, all);
  const faults = [
    ...faultsOf(leaf, expected),
    ...(way === undefined ? [`its chain does not end at a pinned authority (its issuer is ${quoted(issuerOf(leaf))})`] : []),
  ];
  if (way === undefined || faults.length > 0) throw new Fault("enrol.mismatch", `check issued certificate: ${faults.join("; ")}`);
  return {
    pem: chainToShow(way, pins, all)
      .map((one) => one.toString())
      .join(""),
    serial: leaf.serialNumber,
    issuer: issuerOf(leaf),
    notBeforeMs: leaf.validFromDate.getTime(),
    notAfterMs: leaf.validToDate.getTime(),
  };
}

/** The same check for a certificate on disk. @throws Fault `enrol.mismatch`, `x509.invalid`. */
export function checkStored(pem: string, expected: ExpectedCertificate): DeviceCertificate {
  return checkIssued(certificateBlocks(pem), expected);
}

function issuerOf({ issuer }: X509Certificate): string {
  return /^CN=(.*)$/m.exec(issuer)?.[1] ?? issuer;
}

function parse(bytes: Uint8Array): X509Certificate {
  try {
    return new X509Certificate(bytes);
  } catch (error) {
    throw new Fault("x509.invalid", "check issued certificate: one of them is not an X.509 certificate", { cause: error });
  }
}

function faultsOf(leaf: X509Certificate, expected: ExpectedCertificate): readonly string[] {
  const { deviceId, nowMs } = expected;
  const faults: string[] = [];
  const commonName: unknown = leaf.toLegacyObject().subject.CN; // a list when there are several
  if (commonName !== deviceId)
    faults.push(`its CN is ${quoted([commonName].flat().map(String).join(", "))}, expected "${deviceId}"`);
  if (leaf.ca) faults.push("it is an authority's certificate");
  if (!isFor(leaf, CLIENT_AUTH)) faults.push("it is not for client authentication");
  const [from, to] = [leaf.validFromDate.getTime(), leaf.validToDate.getTime()];
  if (!(from < to)) faults.push("it ends before it begins");
  if (nowMs !== undefined && from > nowMs + CLOCK_SKEW_MS)
    faults.push(`it is not valid before ${leaf.validFromDate.toISOString()}`);
  if (nowMs !== undefined && to <= nowMs) faults.push(`it expired at ${leaf.validToDate.toISOString()}`);
  return faults;
}
