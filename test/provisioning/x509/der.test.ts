import { test } from "tap";
import { der } from "../../../provisioning/x509/format/index.ts";
import { OID } from "../../../provisioning/x509/format/oids.ts";

const hex = (value: der.Value): string => Buffer.from(der.encode(value)).toString("hex");

test("[ID-85] an OID of earlier agents is 2.25 followed by a UUID as one arc, as X.667 demands", (t) => {
  for (const [oid, uuid] of [
    [OID.auditKeyBefore, "2e0ea425eeca4181bb0ef5b9b3bd78dd"],
    [OID.keyProtectionBefore, "0aaf0821da434c7d8b88a3aa51ea7a36"],
  ] as const) {
    const octets: number[] = [];
    for (let left = BigInt(`0x${uuid}`), more = 0; left > 0n; left >>= 7n, more = 0x80)
      octets.unshift(Number(left & 0x7fn) | more);
    t.equal(hex(oid), Buffer.from([0x06, octets.length + 1, 2 * 40 + 25, ...octets]).toString("hex"));
  }
  t.end();
});

test("integers are minimal and never read as negative", (t) => {
  t.equal(hex(der.integer(0)), "020100");
  t.equal(hex(der.integer(127)), "02017f");
  t.equal(hex(der.integer(128)), "02020080");
  t.equal(hex(der.integer(Buffer.from("0000ff", "hex"))), "020200ff");
  t.equal(hex(der.integer(2 ** 53 - 1)), "02071fffffffffffff");
  t.end();
});

test("times are UTCTime until 2049 and GeneralizedTime from 2050, as RFC 5280 demands", (t) => {
  t.same(der.time(Date.UTC(2049, 11, 31, 23, 59, 59, 999)), { tag: 0x17, content: Buffer.from("491231235959Z") });
  t.same(der.time(Date.UTC(2050, 0, 1)), { tag: 0x18, content: Buffer.from("20500101000000Z") });
  t.end();
});

test("a SET OF is written in the order of its encodings, whatever the given order", (t) => {
  t.equal(hex(der.setOf(der.integer(2), der.integer(1), der.boolean(true))), "31090101ff020101020102");
  t.end();
});

test("ASN.1 nested deeper than any certificate is refused before it costs stack", (t) => {
  const deep = Buffer.from("3080".repeat(2000), "hex");
  t.throws(() => der.decodeBer(deep, 65_536, { code: "x509.invalid", what: "certificate" }), {
    code: "x509.invalid",
    message: /depth/,
  });
  t.end();
});
