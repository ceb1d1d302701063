// Addresses and prefixes in the kernel's spelling.
import { BlockList, isIP } from "node:net";
import * as fc from "fast-check";
import { test } from "tap";
import { contains, parsePrefix } from "../../../hal/format/address.ts";

test("[LCK-5] only the canonical spelling is accepted: RFC 5952, no bits behind the prefix, no length after an address", async (t) => {
  for (const good of [
    "192.0.2.1",
    "192.0.2.0/24",
    "128.0.0.0/1",
    "2001:db8::",
    "2001:db8::/32",
    "2001:0:0:1::1",
    "fe80::/10",
    "1:2:3:4:5:6:7:8",
  ])
    t.ok(parsePrefix(good), good);
  for (const bad of [
    "",
    "192.0.2",
    "192.0.2.256",
    "192.0.2.01",
    "192.0.2.1/32",
    "192.0.2.0/0",
    "192.0.2.0/24/24",
    "192.0.2.0/024",
    " 192.0.2.1",
    "192.0.2.1/24",
    "1:2:3:4:5:6:7:8:9",
    "2001:db8:0:0::1",
    "2001::db8::1",
    "2001:DB8::1",
    "2001:db8::1%eth0",
    "2001:db8::1/128",
    "2001:0db8::1",
    "1:2:3:4::6:7:8",
    "1:2:3:4:5:6:7::",
    "::1",
    "::/1",
    "::ffff:1.2.3.4",
    "fe80::1/10",
    "@management4",
  ])
    t.equal(parsePrefix(bad), undefined, bad);
});

test("[LCK-5] every accepted text is an address, and membership in a prefix agrees with Node's BlockList", async (t) => {
  const text = fc.oneof(fc.ipV4(), fc.ipV6());
  fc.assert(
    fc.property(text, fc.integer({ min: 1, max: 128 }), text, (a, length, b) => {
      const [one, other] = [parsePrefix(a), parsePrefix(b)];
      if (one === undefined || other === undefined) return;
      t.not(isIP(a), 0);
      const bits = one.family === 4 ? 32 : 128;
      if (length > bits || one.family !== other.family) return;
      const bytes = one.bytes.map((byte, i) => byte & (0xff << Math.min(8, Math.max(0, 8 * (i + 1) - length))));
      const list = new BlockList();
      list.addSubnet(a, length, one.family === 4 ? "ipv4" : "ipv6");
      t.equal(contains({ family: one.family, bytes, length }, other), list.check(b, one.family === 4 ? "ipv4" : "ipv6"));
    }),
    { numRuns: 500 },
  );
});
