// The certificate authority: issues device and server certificates under the hub's own root.
import { createPrivateKey, generateKeyPairSync, type KeyObject, X509Certificate } from "node:crypto";
import { Fault } from "../../hal/fault.ts";
import { der } from "../../provisioning/x509/format/index.ts";
import type { CertificateRequest } from "../../provisioning/x509/format/index.ts";
import type { IssuedCertificate } from "../store/index.ts";
import { distinguishedName, hostName, issue, keyIdentifier, pem, uriName } from "./certificate.ts";
import { buildCrl, type CrlContent, maySignCrl } from "./crl.ts";
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
  /** Unix milliseconds. No certificate begins before or ends after it. */
  readonly validity: { readonly fromMs: number; readonly toMs: number };
  /**
   * For an approved device: subject and names come from its request, everything else from the hub.
   * @throws Fault `hub.clock-wrong` outside of the authority's own validity. [STA-40]
   */
  issueDevice(
    request: CertificateRequest,
    nowMs: number,
    lifeMs: number,
    crlUrl?: string,
  ): Omit<IssuedCertificate, "revokedAtMs">;
  /** @throws Fault `hub.clock-wrong` outside of the authority's own validity. [STA-40] */
  issueServer(hosts: readonly string[], nowMs: number): KeyAndCertificate;
  /** The identifier of the authority's key, in hex, as certificates and lists name it. */
  readonly keyId: string;
  /**
   * [ID-90] The list of revoked certificates, DER.
   * @throws Fault `hub.crl-failed` for an authority whose certificate does not allow lists.
   */
  issueCrl(content: CrlContent): Uint8Array;
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
  const validity = { fromMs: certificate.validFromDate.getTime(), toMs: certificate.validToDate.getTime() };
  const datesOf = (nowMs: number, lifeMs: number): Pick<IssuedCertificate, "notBeforeMs" | "notAfterMs"> => {
    const fault = clockFault(nowMs, "authority", validity);
    if (fault !== undefined) throw fault;
    return {
      notBeforeMs: wholeSeconds(Math.max(nowMs - BACKDATED_MS, validity.fromMs)),
      notAfterMs: wholeSeconds(Math.min(nowMs + lifeMs, validity.toMs)),
    };
  };
  const common = { issuer: authorityName(name), issuerPublicKey };
  return {
    certificate,
    authorityPem: authority.certificatePem,
    keyId: Buffer.from(keyIdentifier(issuerPublicKey)).toString("hex"),
    issueCrl: (content) => {
      if (!maySignCrl(certificate.raw))
        throw new Fault(
          "hub.crl-failed",
          "sign the list of revoked certificates: the authority's certificate does not allow it (keyUsage without cRLSign), so brokers would refuse the list; only this hub's own broker refuses revoked devices",
        );
      return buildCrl(content, authorityName(name), issuerPublicKey, key);
    },
    validity,
    issueDevice: (request, nowMs, lifeMs, crlUrl) => {
      const { notBeforeMs, notAfterMs } = datesOf(nowMs, lifeMs);
      const { publicKey } = request;
      const names = request.uris.map((uri) => uriName(uri));
      const issued = issue(
        { ...common, subject: deviceName(request), publicKey, notBeforeMs, notAfterMs, kind: "client", names, crlUrl },
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
          ...datesOf(nowMs, SERVER_LIFE_MS),
          kind: "server",
          names: hosts.map((each) => hostName(each)),
        },
        key,
      );
      return { keyPem, certificatePem: pem(issued.der) };
    },
  };
}

/**
 * [STA-40] @returns why the clock cannot be right, or a certificate has to be replaced; undefined
 *   within its validity.
 */
export function clockFault(
  nowMs: number,
  what: "authority" | "server certificate",
  { fromMs, toMs }: Issuer["validity"],
): Fault | undefined {
  if (nowMs >= fromMs && nowMs < toMs) return undefined;
  const is = nowMs < fromMs ? `begins at ${iso(fromMs)}` : `ended at ${iso(toMs)}`;
  const remedy =
    what === "authority"
      ? "no certificate is issued; set the clock, and if it is right, devices need the anchors of a new hub (sallyport-hub init)"
      : "devices refuse the hub; set the clock, and if it is right, find out why the certificate could not be renewed";
  return new Fault("hub.clock-wrong", `the clock says ${iso(nowMs)}, but the hub's ${what} ${is}: ${remedy}`);
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}

/** Whether the hub's own certificate is due for renewal, and another one would end later. */
export function isServerDue(certificatePem: string, nowMs: number, latestMs: number): boolean {
  const { fromMs: startMs, toMs: endMs } = validityOf(certificatePem);
  if (nowMs >= startMs && nowMs < endMs && endMs >= latestMs) return false;
  return nowMs < startMs || endMs - nowMs < (endMs - startMs) * SERVER_RENEW_LEFT_RATIO;
}

export function validityOf(certificatePem: string): Issuer["validity"] {
  const certificate = new X509Certificate(certificatePem);
  return { fromMs: certificate.validFromDate.getTime(), toMs: certificate.validToDate.getTime() };
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
