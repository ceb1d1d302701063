import { generateKeyPairSync, sign, verify } from "node:crypto";
import { test } from "tap";
import { derSignature } from "../../../../hal/linux/keys/der-signature.ts";

test("a pair of numbers becomes the DER signature that OpenSSL verifies, whatever its first bits are", async (t) => {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const data = Buffer.from("words");
  for (let round = 0; round < 40; round += 1) {
    const pair = sign("sha256", data, { key: privateKey, dsaEncoding: "ieee-p1363" });
    t.ok(verify("sha256", data, { key: publicKey, dsaEncoding: "der" }, derSignature(pair)), pair.toString("hex"));
  }
  const pair = Buffer.alloc(64);
  pair[31] = 0x7f;
  t.equal(Buffer.from(derSignature(pair)).toString("hex"), "300602017f020100", "zeros in front are left out");
  pair[0] = 0x80;
  t.equal(derSignature(pair)[3], 33, "a number whose first bit is set gets a zero in front");
});
