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
  /**
   * Our attribute with the audit key [AUD-7]. We have no enterprise arc, so it lies under 2.25,
   * where a random UUID needs no registration (X.667 section 7). The UUID
   * 2e0ea425-eeca-4181-bb0e-f5b9b3bd78dd was drawn once and never changes; as one arc of 128 bits
   * it is 2.25.61220509282644574342077204429801355485. It is written as octets because node-forge's
   * oidToDer stops at arcs of 32 bits; a test derives them from the UUID.
   */
  auditKey: { tag: TAG.oid, content: Buffer.from("69dc8ed289bdecd28683bb87bdb79b9df5f15d", "hex") },
  /**
   * Our attribute with the protection of the key [ID-60], made as the one above from the UUID
   * 0aaf0821-da43-4c7d-8b88-a3aa51ea7a36: 2.25.14201096849448037134835018188834110006.
   */
  keyProtection: { tag: TAG.oid, content: Buffer.from("6995af8488bba49ab1fb8bc4a8f5a58fa9f436", "hex") },
} as const satisfies Record<string, Value>;
