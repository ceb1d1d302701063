import { test } from "tap";
import * as v from "valibot";
import { statusForGuest } from "../../../agent/operations/redact.ts";
import { deviceStatusSchema } from "../../../agent/status/format.ts";
import { CONSOLE, HANDLERS, ROOT, watchedOperations } from "../../lab/worlds/operations.ts";
import { CONNECTED, WAITING } from "../../lab/worlds/device-status.ts";

const WITH_TROUBLES = {
  ...WAITING,
  tunnel: {
    ...CONNECTED.tunnel,
    lastFault: { code: "tunnel.unreachable", message: 'connect "hub.example.net" by proxy "10.1.2.3"' },
  },
  troubles: ['file.read-only: write "/var/lib/sallyport/current"', "something about 10.1.2.3", "and 3 more"],
} as const;

test("[OPS-5] a guest sees state, protection, fingerprint and codes; not the hub, the issuer, or the messages of faults", async (t) => {
  const redacted = statusForGuest({
    ...WITH_TROUBLES,
    certificate: CONNECTED.certificate,
    troubles: [...WITH_TROUBLES.troubles],
  });
  t.notMatch(JSON.stringify(redacted), /example|10\.1\.2\.3|\/var\/lib|Device CA|4f1d2c3b/u);
  t.match(redacted, {
    life: "requested",
    device: { id: "gw-0042" },
    key: { protection: "file", fingerprint: /^sha256:/ },
    enrolment: { state: "waiting-for-approval", lastFault: { code: "enrol.pending", message: "(withheld)" } },
    tunnel: { state: "connected", hub: "(withheld)", lastFault: { code: "tunnel.unreachable" } },
    troubles: ["file.read-only: (withheld)", "(withheld)", "(withheld)"],
  });
  t.ok(v.is(deviceStatusSchema, redacted), "the schema accepts it");
});

test("[OPS-5] of policy and update a guest sees the state, not what is open, which release comes, or what needs an order", async (t) => {
  const PLAN = `sha256:${"ab".repeat(32)}` as const;
  const redacted = statusForGuest({
    ...CONNECTED,
    lockdown: {
      at: "pending",
      counter: 8,
      planHash: PLAN,
      trial: { planHash: PLAN, nonce: "5a".repeat(32), confirmWithinMs: 1000 },
      reverted: { planHash: PLAN, reason: "10.1.2.3" },
      unenforced: ["10.1.2.3"],
    },
    update: {
      phase: "rolled-back",
      version: "1.2.0",
      running: "a",
      slot: "b",
      release: { target: "os/secret-1.3.0", counter: 3, digest: "cd".repeat(32) },
      awaitsOrder: PLAN,
      health: [{ name: "hub", verdict: "failed", detail: "10.1.2.3" }],
      reason: { why: "health", detail: "10.1.2.3" },
      detail: "10.1.2.3",
    },
  });
  t.notMatch(JSON.stringify([redacted.update, redacted.lockdown?.trial]), /10\.1\.2|secret|abab|5a5a|cdcd/u);
  t.notMatch(JSON.stringify(redacted.lockdown), /10\.1\.2|5a5a/u);
  t.same(redacted.update, {
    phase: "rolled-back",
    version: "1.2.0",
    running: "a",
    reason: { why: "health", detail: "(withheld)" },
  });
  t.match(redacted.lockdown, { at: "pending", counter: 8, unenforced: ["(withheld)"] });
  t.ok(v.is(deviceStatusSchema, redacted), "the schema accepts it");
});

test("the redaction for guests adds no members", async (t) => {
  const { certificate: _, enrolment: __, ...bare } = WAITING;
  const redacted = statusForGuest({
    ...bare,
    tunnel: { state: "idle", connections: 0, spool: { messages: 0, bytes: 0, dropped: 0 } },
  });
  t.notOk("certificate" in redacted || "enrolment" in redacted || "hub" in redacted.tunnel || "lastFault" in redacted.tunnel);
});

test("[OPS-5] to the same request the console gets the redacted status, and local root the whole", async (t) => {
  const { operations } = watchedOperations(HANDLERS);
  t.match(await operations.perform(CONSOLE, { v: 1, id: "1", operation: "status" }), {
    result: { tunnel: { hub: "(withheld)" } },
  });
  t.match(await operations.perform(ROOT, { v: 1, id: "1", operation: "status" }), {
    result: { tunnel: { hub: "hub.example.net:8883" } },
  });
});
