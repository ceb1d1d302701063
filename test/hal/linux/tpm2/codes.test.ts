// Response codes: every one becomes a fault with a place and an advice.
import fc from "fast-check";
import { test } from "tap";
import { decodeCode, isRetry, responseFault } from "../../../../hal/linux/tpm2/codes.ts";

const KNOWN: readonly (readonly [number, string, string, RegExp])[] = [
  [0x921, "LOCKOUT", "tpm.locked-out", /wait for the lockout to end, or clear it/],
  [0x922, "RETRY", "tpm.busy", /try again/],
  [0x908, "YIELDED", "tpm.busy", /try again/],
  [0x90a, "TESTING", "tpm.busy", /tests itself/],
  [0x98e, "AUTH_FAIL", "tpm.auth-failed", /for session 1: .*each wrong one counts towards a lockout/],
  [0x9a2, "BAD_AUTH", "tpm.auth-failed", /for session 1: the password is not the one that was set; ask whoever set it$/],
  [0x902, "OBJECT_MEMORY", "tpm.slots-full", /end the other program or restart/],
  [0x903, "SESSION_MEMORY", "tpm.slots-full", /slots/],
  [0x905, "SESSION_HANDLES", "tpm.slots-full", /slots/],
  [0x906, "OBJECT_HANDLES", "tpm.slots-full", /slots/],
  [0x14b, "NV_SPACE", "tpm.nv-full", /undefine/],
  [0x14c, "NV_DEFINED", "tpm.exists", /exists/],
  [0x14a, "NV_UNINITIALIZED", "tpm.nv-unwritten", /write it first/],
  [0x149, "NV_AUTHORIZATION", "tpm.auth-failed", /the index does not let/],
  [0x920, "NV_RATE", "tpm.busy", /limits writes/],
  [0x1df, "INTEGRITY", "tpm.not-ours", /for parameter 1: .*put back what belongs together/],
  [0x2d6, "SYMMETRIC", "tpm.refused", /for parameter 2/],
  [0x18b, "HANDLE", "tpm.missing", /for handle 1/],
  [0x99d, "POLICY_FAIL", "tpm.policy-failed", /for session 1/],
  [0x100, "INITIALIZE", "tpm.not-ready", /power-cycle/],
  [0x101, "FAILURE", "tpm.not-ready", /power-cycle/],
];

test("[ID-42] codes that matter have their name, place, fault and advice", async (t) => {
  for (const [code, name, fault, message] of KNOWN) {
    t.equal(decodeCode(code).name, name);
    t.match(responseFault("TPM2_Sign", code), { code: fault, message }, name);
  }
});

test("a code of format one tells parameter, handle or session", async (t) => {
  t.same(decodeCode(0x2d6).position, { of: "parameter", number: 2 });
  t.same(decodeCode(0xfc4).position, { of: "parameter", number: 15 });
  t.same(decodeCode(0x28b).position, { of: "handle", number: 2 });
  t.same(decodeCode(0x98e).position, { of: "session", number: 1 });
  t.equal(decodeCode(0x921).position, undefined);
  t.equal(decodeCode(0x000b_0921).name, "LOCKOUT", "a resource manager's layer above it");
});

test("only what the TPM did not begin is sent again", async (t) => {
  t.ok(isRetry(0x922) && isRetry(0x908) && isRetry(0x90a));
  t.notOk(isRetry(0x921) || isRetry(0x920) || isRetry(0x909) || isRetry(0));
});

test("[ID-42] no code advises a reset of the device, and none is without a fault", async (t) => {
  fc.assert(
    fc.property(fc.oneof(fc.integer({ min: 1, max: 0xfff }), fc.integer({ min: 1, max: 0xffff_ffff })), (code) => {
      const { code: fault, message } = responseFault("TPM2_Load", code);
      return fault.startsWith("tpm.") && message.includes(`0x${code.toString(16)}`) && !/reset|clear the TPM/u.test(message);
    }),
    { numRuns: 20_000 },
  );
  t.pass();
});
