// Object identifiers of RFC 5280, RFC 5480 and RFC 5758, as DER values.
import { der } from "../../provisioning/x509/format/index.ts";

export const OID = {
  commonName: der.oid("2.5.4.3"),
  organizationName: der.oid("2.5.4.10"),
  serialNumber: der.oid("2.5.4.5"),
  subjectKeyIdentifier: der.oid("2.5.29.14"),
  keyUsage: der.oid("2.5.29.15"),
  subjectAltName: der.oid("2.5.29.17"),
  basicConstraints: der.oid("2.5.29.19"),
  crlNumber: der.oid("2.5.29.20"),
  reasonCode: der.oid("2.5.29.21"),
  crlDistributionPoints: der.oid("2.5.29.31"),
  authorityKeyIdentifier: der.oid("2.5.29.35"),
  extendedKeyUsage: der.oid("2.5.29.37"),
  serverAuth: der.oid("1.3.6.1.5.5.7.3.1"),
  clientAuth: der.oid("1.3.6.1.5.5.7.3.2"),
  ecPublicKey: der.oid("1.2.840.10045.2.1"),
  prime256v1: der.oid("1.2.840.10045.3.1.7"),
  ecdsaWithSha256: der.oid("1.2.840.10045.4.3.2"),
} as const;

/** Client authentication, in the form of Node's `X509Certificate.keyUsage`. */
export const CLIENT_AUTH_DOTTED = "1.3.6.1.5.5.7.3.2";
