// Response codes: every one becomes a fault with a place and an advice.
import fc from "fast-check";
import { test } from "tap";
import { decodeCode, isRetry, responseFault } from "../../../../hal/linux/tpm/codes.ts";

const KNOWN: readonly (readonly [number, string, string, RegExp])[] = [
  [0x921, "LOCKOUT", "tpm.locked-out", /wait for the lockout to end, or clear it/],
  [0x922, "RETRY", "tpm.busy", /try again/],
  [0x908, "YIELDED", "tpm.busy", /try again/],
  [0x90a, "TESTING", "tpm.busy", /tests itself/],
  [0x98e, "AUTH_FAIL", "tpm.auth-failed", /for session 1: .*each wrong one counts towards a lockout/],
  [0x9a2, "BAD_AUTH", "tpm.auth-failed", /for session 1: the password is not the one that was set; ask whoever set it$/],
  [0x902, "OBJECT_MEMORY", "tpm.slots-full", /end the other program or restart/],
  [0x903, "SESSION_MEMORY", "tpm.slots-full", /slots for sessions.*the key is not lost: end the other program or restart/],
  [0x904, "MEMORY", "tpm.slots-full", /no memory for the command.*the key is not lost: try again/],
  [0x905, "SESSION_HANDLES", "tpm.slots-full", /begun or saved as it can number.*the key is not lost/],
  [0x906, "OBJECT_HANDLES", "tpm.slots-full", /as many keys fill its slots.*the key is not lost/],
  [0x12e, "TOO_MANY_CONTEXTS", "tpm.slots-full", /contexts.*the key is not lost: restart the device/],
  [0x916, "REFERENCE_H6", "tpm.missing", /nothing at this handle/],
  [0x91e, "REFERENCE_S6", "tpm.missing", /begin a new one/],
  [0x1e5, "BINDING", "tpm.not-ours", /for parameter 1: .*put back what belongs together/],
  [0x185, "HIERARCHY", "tpm.refused", /for handle 1: the hierarchy is switched off/],
  [0x120, "DISABLED", "tpm.refused", /only the firmware's settings allow it again/],
  [0x143, "COMMAND_CODE", "tpm.refused", /does not know the command/],
  [0x1e, "BAD_TAG", "tpm.refused", /a TPM 1\.2; a TPM 2\.0 is needed/],
  [0x923, "NV_UNAVAILABLE", "tpm.busy", /try again/],
  [0x909, "CANCELED", "tpm.busy", /try again/],
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
  [0x101, "FAILURE", "tpm.not-ready", /failed a test of itself.*power-cycle/],
];

/** From and to of the codes that tpm2_rc_decode of tpm2-tools 5.4 explains, without positions. */
const EXPLAINED: readonly (readonly [number, number])[] = [
  [0x081, 0x085],
  [0x087, 0x090],
  [0x092, 0x092],
  [0x095, 0x098],
  [0x09a, 0x09d],
  [0x09f, 0x0a7],
  [0x100, 0x101],
  [0x103, 0x103],
  [0x10b, 0x10b],
  [0x119, 0x119],
  [0x120, 0x121],
  [0x124, 0x128],
  [0x12d, 0x131],
  [0x142, 0x14c],
  [0x150, 0x155],
  [0x901, 0x90a],
  [0x910, 0x916],
  [0x918, 0x91e],
  [0x920, 0x923],
];

test("each code that tpm2-tools explain has a name, each name is one code's, and no other code has one", async (t) => {
  const explained = EXPLAINED.flatMap(([from, to]) => Array.from({ length: to - from + 1 }, (_, at) => from + at));
  const isPlain = (code: number): boolean => (code & 0x80) === 0 || code < 0xc0;
  const named = Array.from({ length: 0x1000 }, (_, code) => code).filter(
    (code) => isPlain(code) && decodeCode(code).name !== undefined,
  );
  t.same(
    named.filter((code) => code !== 0x1e),
    explained,
    "and 0x1e, which a TPM 1.2 gives",
  );
  t.equal(new Set(named.map((code) => decodeCode(code).name)).size, named.length);
});

test("[ID-42] full slots and a TPM that is not ready have an advice for each code", async (t) => {
  for (const codes of [
    [0x902, 0x903, 0x904, 0x905, 0x906, 0x12e, 0x901],
    [0x100, 0x101, 0x153, 0x130, 0x12d],
    [0x921, 0x98e, 0x9a2, 0x12f, 0x124, 0x125, 0x149],
  ]) {
    const advices = codes.map((code) => responseFault("TPM2_Load", code).message.replace(/^.*?\)[^:]*: /u, ""));
    t.equal(new Set(advices).size, codes.length, advices.join("\n"));
  }
});

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
  t.ok(isRetry(0x000b_0922), "also with a layer above it");
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
