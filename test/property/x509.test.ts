import fc from "fast-check";
import { test } from "tap";
import { Fault } from "../../hal/fault.ts";
import { buildRequest, decodeCertsOnly, der, encodeCertsOnly, parseRequest } from "../../provisioning/x509/format/index.ts";
import { memoryKey } from "../lab/fakes/keys.ts";

/** One change of some bytes: octets are overwritten, inserted or removed. */
const change = fc.record({ at: fc.nat(), remove: fc.nat({ max: 4 }), insert: fc.uint8Array({ maxLength: 6 }) });
type Change = { readonly at: number; readonly remove: number; readonly insert: Uint8Array };

function changed(bytes: Uint8Array, changes: readonly Change[]): Buffer {
  return changes.reduce((now, { at, remove, insert }) => {
    const from = at % (now.byteLength + 1);
    return Buffer.concat([now.subarray(0, from), insert, now.subarray(from + remove)]);
  }, Buffer.from(bytes));
}

function faultOf(run: () => unknown): Fault | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
}

test("[ID-5] a request changed anywhere is refused with csr.invalid, never with another error", async (t) => {
  const key = memoryKey();
  const uris = ["urn:dev:mac:0024befffe804ff1"];
  const request = { commonName: "gw-1", serialNumber: "1", uris, publicKey: key.publicKey, auditKey: "a+00000000+AAAA" };
  const bytes = Buffer.from(await buildRequest(request, key.sign));
  const changes = fc.array(change, { minLength: 1, maxLength: 3 });
  fc.assert(
    fc.property(changes, (list) => {
      const other = changed(bytes, list);
      return other.equals(bytes) || faultOf(() => parseRequest(other))?.code === "csr.invalid";
    }),
    { numRuns: 2000 },
  );
  t.pass("2000 changes refused");
});

test("[ID-7] CMS changed anywhere is read or refused with cms.invalid, never another error", (t) => {
  const certificate = der.encode(der.sequence(der.sequence(der.integer(1)), der.bitString(Buffer.alloc(40))));
  const bytes = encodeCertsOnly([certificate, certificate]);
  const changes = fc.array(change, { minLength: 1, maxLength: 3 });
  fc.assert(
    fc.property(changes, (list) =>
      [undefined, "cms.invalid"].includes(faultOf(() => decodeCertsOnly(changed(bytes, list)))?.code),
    ),
    { numRuns: 2000 },
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => faultOf(() => decodeCertsOnly(noise))?.code === "cms.invalid"),
  );
  t.pass("no other error");
  t.end();
});

test("ASN.1 values are read as they were written", (t) => {
  const { value } = fc.letrec<{ readonly value: der.Value }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.record({ tag: fc.constantFrom(0x03, 0x04, 0x0c, 0x86), content: fc.uint8Array({ maxLength: 200 }) }),
      fc.nat().map((number) => der.integer(number)),
      fc.array(tie("value"), { maxLength: 5 }).map((list) => der.sequence(...list)),
    ),
  }));
  fc.assert(
    fc.property(value, (one) => {
      const bytes = der.encode(one);
      return Buffer.from(der.encode(der.decode(bytes, 1 << 20, { code: "x509.invalid", what: "value" }))).equals(bytes);
    }),
  );
  t.pass();
  t.end();
});
