// Object identifiers, as values to write and to compare with.
import { oid, TAG, type Value } from "./der.ts";

export const OID = {
  commonName: oid("2.5.4.3"),
  serialNumber: oid("2.5.4.5"),
  subjectAltName: oid("2.5.29.17"),
  /** PKCS#9, RFC 2985 section 5.4.2. */
  extensionRequest: oid("1.2.840.113549.1.9.14"),
  ecdsaWithSha256: oid("1.2.840.10045.4.3.2"),
  data: oid("1.2.840.113549.1.7.1"),
  signedData: oid("1.2.840.113549.1.7.2"),
  /** PKCS#9 (RFC 2985 section 5.2.2): free text, in which our statement goes. [ID-85] */
  unstructuredName: oid("1.2.840.113549.1.9.2"),
  /**
   * What earlier agents wrote the audit key under: 2.25 and the UUID
   * 2e0ea425-eeca-4181-bb0e-f5b9b3bd78dd as one arc of 128 bits (X.667 section 7). GnuTLS reads no
   * request with such an arc. It is only read. Octets, because node-forge's oidToDer stops at 32
   * bits; a test derives them from the UUID.
   */
  auditKeyBefore: { tag: TAG.oid, content: Buffer.from("69dc8ed289bdecd28683bb87bdb79b9df5f15d", "hex") },
  /** The same for the protection, from the UUID 0aaf0821-da43-4c7d-8b88-a3aa51ea7a36. */
  keyProtectionBefore: { tag: TAG.oid, content: Buffer.from("6995af8488bba49ab1fb8bc4a8f5a58fa9f436", "hex") },
} as const satisfies Record<string, Value>;
