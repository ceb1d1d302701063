// The detail of an audit record that reports a fault: every message makes a valid record.
import { test } from "tap";
import * as v from "valibot";
import { faultDetail } from "../../agent/fault-detail.ts";
import { Fault } from "../../hal/fault.ts";
import { canonicalJson } from "../../hal/format/json.ts";
import { auditEntrySchema } from "../../warden/audit/format/index.ts";

test("a message that is cut in the middle of a character still makes a record that can be written", async (t) => {
  const fault = new Fault("tunnel.refused", `${"x".repeat(511)}\u{1f4a5}`);
  const entry = v.parse(auditEntrySchema, { event: "tunnel.refused", result: "refused", detail: faultDetail(fault) });
  t.doesNotThrow(() => canonicalJson(entry));
  t.same(faultDetail(fault), { code: "tunnel.refused", message: "x".repeat(511) });
});
