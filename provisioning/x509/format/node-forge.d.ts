// The part of node-forge in use: its ASN.1 module. It represents bytes as "binary strings", one
// character a byte.
declare module "node-forge/lib/asn1.js" {
  export interface Asn1 {
    readonly tagClass: number;
    readonly type: number;
    readonly constructed: boolean;
    readonly value: string | readonly Asn1[];
  }

  interface ByteBuffer {
    getBytes(): string;
  }

  const asn1: {
    create(tagClass: number, type: number, constructed: boolean, value: string | readonly Asn1[]): Asn1;
    /** Reads BER: indefinite and non-minimal lengths pass. @throws Error of its own. */
    fromDer(
      bytes: string,
      options: {
        readonly strict: boolean;
        readonly parseAllBytes: boolean;
        readonly decodeBitStrings: boolean;
        readonly maxDepth: number;
      },
    ): Asn1;
    toDer(value: Asn1): ByteBuffer;
    oidToDer(dotted: string): ByteBuffer;
  };
  export default asn1;
}
