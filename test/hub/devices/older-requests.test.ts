import { createPublicKey, sign } from "node:crypto";
import { test } from "tap";
import { der } from "../../../provisioning/x509/format/index.ts";
import { OID } from "../../../provisioning/x509/format/oids.ts";
import { encodeVerifier } from "../../../warden/audit/format/index.ts";
import {
  certificateIn,
  enrolledBefore,
  labDevice,
  type LabDevice,
  labHub,
  simpleEnrol,
  simpleReenrol,
} from "../../lab/worlds/hub.ts";

const DAY_MS = 86_400_000;

/** The same request as agents wrote it before: two attributes with identifiers of 128 bits. */
function asBefore({ id, key, audit }: LabDevice, protection: string): Uint8Array {
  const spki = createPublicKey(key.export({ format: "pem", type: "pkcs8" })).export({ format: "der", type: "spki" });
  const text = (word: string): der.Value => der.setOf(der.utf8String(word));
  const names = der.sequence(der.contextPrimitive(6, Buffer.from("urn:dev:mac:02005efffe100001")));
  const extension = der.sequence(OID.subjectAltName, der.octetString(der.encode(names)));
  const attributes = [
    der.sequence(OID.extensionRequest, der.setOf(der.sequence(extension))),
    der.sequence(OID.auditKeyBefore, text(encodeVerifier(audit.verifier))),
    der.sequence(OID.keyProtectionBefore, text(protection)),
  ];
  const info = der.sequence(
    der.integer(0),
    der.sequence(
      der.setOf(der.sequence(OID.commonName, der.utf8String(id))),
      der.setOf(der.sequence(OID.serialNumber, der.printableString("SN-1"))),
    ),
    der.decode(spki, 1000, { code: "assert.broken", what: "key" }),
    der.context(0, ...der.inDerOrder(attributes)),
  );
  const signature = sign("sha256", der.encode(info), { key, dsaEncoding: "der" });
  return der.encode(der.sequence(info, der.sequence(OID.ecdsaWithSha256), der.bitString(signature)));
}

test("[ID-85] a device that enrolled with the request of earlier agents renews in either form, without a word", async (t) => {
  const { hub, state } = await labHub(t);
  const device = await labDevice("gw-1", { protection: "sealed" });
  const before = asBefore(device, "sealed");
  const cert = await enrolledBefore(hub, state, { ...device, csr: before }, { agoMs: DAY_MS / 2, lifeMs: 2 * DAY_MS });
  t.match(await hub.store.devices.approved(device.id), { protection: "sealed", auditKey: encodeVerifier(device.audit.verifier) });
  t.equal((await simpleEnrol(hub, device.csr)).status, 200, "the new form is the request that was approved");
  const renewed = await simpleReenrol(hub, before, cert, device.keyPem);
  t.ok([200, 429].includes(renewed.status), renewed.body.toString());
  t.same(
    (await hub.store.journal.tail(100, "alert")).map(({ event }) => event),
    [],
  );

  const other = await labHub(t);
  const again = await labDevice("gw-1", { protection: "sealed" });
  const old = await enrolledBefore(
    other.hub,
    other.state,
    { ...again, csr: asBefore(again, "sealed") },
    { agoMs: DAY_MS / 2, lifeMs: 2 * DAY_MS },
  );
  t.not(certificateIn(await simpleReenrol(other.hub, again.csr, old, again.keyPem)), old, "renewed in the new form");
  t.same(
    (await other.hub.store.journal.tail(100, "alert")).map(({ event }) => event),
    [],
  );
});
