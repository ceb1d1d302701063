// The certificate authority: issues device and server certificates under the hub's own root.
import { createPrivateKey, generateKeyPairSync, type KeyObject, X509Certificate } from "node:crypto";
import { der } from "../../provisioning/x509/format/index.ts";
import type { CertificateRequest } from "../../provisioning/x509/format/index.ts";
import type { IssuedCertificate } from "../store/index.ts";
import { distinguishedName, hostName, issue, pem, uriName } from "./certificate.ts";
import { OID } from "./oids.ts";

const DAY_MS = 86_400_000;
/** Certificates start a day early, because a device's clock may be behind the hub's. */
export const BACKDATED_MS = DAY_MS;
/** The root must outlive the devices, because every image pins it. */
const AUTHORITY_LIFE_MS = 25 * 365 * DAY_MS;
const SERVER_LIFE_MS = 365 * DAY_MS;
/** The hub renews its own certificate when less than this share of its validity is left. */
const SERVER_RENEW_LEFT_RATIO = 1 / 3;

export interface Issuer {
  readonly certificate: X509Certificate;
  readonly authorityPem: string;
  /**
   * For an approved device: subject and names come from its request, everything else from the hub.
   */
  issueDevice(request: CertificateRequest, nowMs: number, lifeMs: number): Omit<IssuedCertificate, "revokedAtMs">;
  issueServer(hosts: readonly string[], nowMs: number): KeyAndCertificate;
}

export interface KeyAndCertificate {
  readonly keyPem: string;
  readonly certificatePem: string;
}

/** A new root: self-signed, and allowed to sign end-entity certificates only. */
export function makeAuthority(name: string, nowMs: number): KeyAndCertificate {
  const { keyPem, privateKey, publicKey } = makeKey();
  const subject = authorityName(name);
  const { der: certificate } = issue(
    {
      subject,
      issuer: subject,
      publicKey,
      issuerPublicKey: publicKey,
      notBeforeMs: nowMs - BACKDATED_MS,
      notAfterMs: nowMs + AUTHORITY_LIFE_MS,
      kind: "authority",
      names: [],
    },
    privateKey,
  );
  return { keyPem, certificatePem: pem(certificate) };
}

/** @param name the hub's name from `init`, from which the issuer's name is built. */
export function createIssuer(name: string, authority: KeyAndCertificate): Issuer {
  const key = createPrivateKey(authority.keyPem);
  const certificate = new X509Certificate(authority.certificatePem);
  const issuerPublicKey = certificate.publicKey.export({ format: "der", type: "spki" });
  const endMs = certificate.validToDate.getTime();
  const common = { issuer: authorityName(name), issuerPublicKey };
  return {
    certificate,
    authorityPem: authority.certificatePem,
    issueDevice: (request, nowMs, lifeMs) => {
      const notBeforeMs = wholeSeconds(nowMs - BACKDATED_MS);
      const notAfterMs = wholeSeconds(Math.min(nowMs + lifeMs, endMs));
      const { publicKey } = request;
      const names = request.uris.map((uri) => uriName(uri));
      const issued = issue(
        { ...common, subject: deviceName(request), publicKey, notBeforeMs, notAfterMs, kind: "client", names },
        key,
      );
      return { serial: issued.serial, der: issued.der, notBeforeMs, notAfterMs, issuedAtMs: nowMs };
    },
    issueServer: (hosts, nowMs) => {
      const { keyPem, publicKey } = makeKey();
      const [host = name] = hosts;
      const issued = issue(
        {
          ...common,
          subject: distinguishedName({ oid: OID.commonName, value: der.utf8String(host.slice(0, 64)) }),
          publicKey,
          notBeforeMs: nowMs - BACKDATED_MS,
          notAfterMs: Math.min(nowMs + SERVER_LIFE_MS, endMs),
          kind: "server",
          names: hosts.map((each) => hostName(each)),
        },
        key,
      );
      return { keyPem, certificatePem: pem(issued.der) };
    },
  };
}

/** Whether the hub's own certificate is due for renewal. */
export function isServerDue(certificatePem: string, nowMs: number): boolean {
  const certificate = new X509Certificate(certificatePem);
  const [startMs, endMs] = [certificate.validFromDate.getTime(), certificate.validToDate.getTime()];
  return nowMs < startMs || endMs - nowMs < (endMs - startMs) * SERVER_RENEW_LEFT_RATIO;
}

function authorityName(name: string): der.Value {
  return distinguishedName(
    { oid: OID.organizationName, value: der.utf8String("Sallyport") },
    { oid: OID.commonName, value: der.utf8String(name) },
  );
}

/** [ID-5] The CN is the device id, the serialNumber that of the board. */
function deviceName(request: CertificateRequest): der.Value {
  const names = [{ oid: OID.commonName, value: der.utf8String(request.commonName) }];
  if (request.serialNumber !== undefined) names.push({ oid: OID.serialNumber, value: der.printableString(request.serialNumber) });
  return distinguishedName(...names);
}

function makeKey(): { readonly keyPem: string; readonly privateKey: KeyObject; readonly publicKey: Uint8Array } {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return {
    keyPem: privateKey.export({ format: "pem", type: "pkcs8" }),
    privateKey,
    publicKey: publicKey.export({ format: "der", type: "spki" }),
  };
}

/** Certificates have no fractions of a second. */
function wholeSeconds(ms: number): number {
  return Math.floor(ms / 1000) * 1000;
}
