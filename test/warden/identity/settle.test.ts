// Hardware that changed after the birth.
import { test } from "tap";
import * as v from "valibot";
import { birthRecordSchema, type HardwareFacts } from "../../../hal/format/identity.ts";
import { settleIdentity } from "../../../warden/identity/index.ts";
import { faultOf } from "../../lab/runner/faults.ts";

const BORN = v.parse(birthRecordSchema, {
  v: 1,
  id: "001b210a0010",
  source: "mac",
  protection: "file",
  keyFingerprint: `sha256:${"ab".repeat(32)}`,
});
const facts = (mac: string): HardwareFacts => ({
  commissionedId: undefined,
  serials: [],
  interfaces: [{ name: "eth0", mac }],
  model: "Gateway 2",
});

test("[ID-6] before the birth the hardware decides; after it the same hardware gives the same id without a report", async (t) => {
  t.match(settleIdentity(facts("00:1b:21:0a:00:10"), undefined), { identity: { id: BORN.id }, trouble: undefined });
  t.match(settleIdentity(facts("00:1b:21:0a:00:10"), BORN), { identity: { id: BORN.id }, trouble: undefined });
});

test("[ID-6] a replaced network card makes no second identity: the id of the birth record holds, and the change is reported", async (t) => {
  const { identity, trouble } = settleIdentity(facts("00:1b:21:0a:00:99"), BORN);
  t.match(identity, { id: BORN.id, source: "mac", macs: ["00:1b:21:0a:00:99"], model: "Gateway 2" });
  t.equal(trouble?.code, "identity.changed");
  t.match(trouble?.message, "001b210a0099");
});

test("[ID-6] hardware that has no source any more leaves the id of the birth record, and this is reported", async (t) => {
  const { identity, trouble } = settleIdentity({ ...facts(""), interfaces: [] }, BORN);
  t.match(identity, { id: BORN.id, macs: [] });
  t.equal(trouble?.code, "identity.no-source");
});

test("[ID-3] without a source and a birth record there is no identity", async (t) => {
  t.equal((await faultOf(() => settleIdentity({ ...facts(""), interfaces: [] }, undefined))).code, "identity.no-source");
});
