import { test } from "tap";
import { macUrn, opsUrn } from "../../../provisioning/x509/format/index.ts";

test("[ID-5] an EUI-48 becomes the EUI-64 of RFC 9039's own example", (t) => {
  t.equal(macUrn("00:24:be:80:4f:f1"), "urn:dev:mac:0024befffe804ff1");
  for (const bad of ["0024be804ff1", "00:24:BE:80:4F:F1", "00:24:be:80:4f", ""])
    t.throws(() => macUrn(bad), { code: "csr.invalid" });
  t.end();
});

test("[ID-5] urn:dev:ops names number, product and serial, or is left out when they cannot be written", (t) => {
  t.equal(opsUrn(32473, "Refrigerator", "5002"), "urn:dev:ops:32473-Refrigerator-5002");
  t.equal(opsUrn(32473, "a-b", "1"), undefined, "a dash in the product would move the boundary to the serial");
  t.equal(opsUrn(32473, "Gateway", "S/N 1"), undefined);
  t.throws(() => opsUrn(0, "Gateway", "1"), { code: "csr.invalid" });
  t.end();
});
