// The captured agent, verb by verb: for everything that it sends, clock, birth record and log stay
// what they were, and the warden still answers. A verb without an attack does not compile.
import { test } from "tap";
import { cosign, decodeNote, encodeNote } from "../../warden/audit/format/index.ts";
import { WARDEN_VERBS, type WardenVerb } from "../../warden/protocol/format.ts";
import { hubTime } from "../lab/counterparts/hub-signer.ts";
import { verifiedLog } from "../lab/worlds/warden.ts";
import { asCaptured, type Attack, bornWarden, DEVICE, expectUnchanged, HOUR_MS, observe } from "./captured-agent/attack.ts";
import { AUDIT_ATTACKS } from "./captured-agent/audit.ts";
import { IDENTITY_ATTACKS, KEY_ATTACKS } from "./captured-agent/identity.ts";
import { LOCKDOWN_ATTACKS } from "./captured-agent/lockdown.ts";
import { ORDER_ATTACKS } from "./captured-agent/order.ts";
import { RESET_ATTACKS } from "./captured-agent/reset.ts";
import { SESSION_ATTACKS } from "./captured-agent/session.ts";
import { TIME_ATTACKS } from "./captured-agent/time.ts";
import { TPM_ATTACKS } from "./captured-agent/tpm.ts";
import { TRUST_ATTACKS } from "./captured-agent/trust.ts";
import { UPDATE_ATTACKS } from "./captured-agent/update.ts";

const ATTACKS: { readonly [V in WardenVerb]: (attack: Attack) => Promise<void> } = {
  ...SESSION_ATTACKS,
  ...IDENTITY_ATTACKS,
  ...KEY_ATTACKS,
  ...AUDIT_ATTACKS,
  ...TIME_ATTACKS,
  ...TPM_ATTACKS,
  ...TRUST_ATTACKS,
  ...LOCKDOWN_ATTACKS,
  ...ORDER_ATTACKS,
  ...RESET_ATTACKS,
  ...UPDATE_ATTACKS,
};

test("[OPS-2] every verb has its attack", async (t) => {
  t.same(Object.keys(ATTACKS).sort(), Object.keys(WARDEN_VERBS).sort());
});

test("[OPS-2] verb by verb, nothing that a captured agent sends weakens the machine", async (t) => {
  const { lab, honest } = await bornWarden(t);
  for (const [verb, attack] of Object.entries(ATTACKS)) {
    await t.test(`[OPS-2] ${verb}`, async (t) => {
      const before = await observe(lab, honest);
      const attacker = await asCaptured(t, lab);
      await attack(attacker);
      attacker.peer.end();
      expectUnchanged(t, before, await observe(lab, honest));
    });
  }
});

test("[ID-10] [AUD-8] the same verbs work for an honest agent, without which the attacks above prove nothing", async (t) => {
  const { lab, honest } = await bornWarden(t);
  const { nonce } = await honest.call("time.nonce", {});
  const aYearOn = Date.now() + 365 * 24 * HOUR_MS;
  const answer = hubTime(lab.hub.time, DEVICE, nonce, aYearOn);
  t.match(await honest.call("time.set", answer), { state: "synced" });
  const { clock } = await honest.call("status.read", {});
  t.ok(Math.abs(clock.nowMs - aYearOn) < HOUR_MS, "the board's clock was stepped by a year, the machine's was not");
  const attacker = await asCaptured(t, lab);
  await attacker.refused("time.set", answer, /protocol\.rate-limited/u);
  const { checkpoint, size } = await honest.call("audit.checkpoint", { oldSize: 0 });
  const note = decodeNote(checkpoint);
  const cosigned = encodeNote({ ...note, signatures: [...note.signatures, cosign(note.text, 1_764_000_000, lab.hub.witness)] });
  t.match(await honest.call("audit.cosigned", { checkpoint: cosigned }), { witnessedSize: size });
  const log = await verifiedLog(honest);
  t.match(
    log.findLast(({ event }) => event === "time.set"),
    { source: "warden", synced: true, detail: { to: answer.time } },
  );
  t.match(
    log.findLast(({ event }) => event === "protocol.refused"),
    { result: "refused", detail: { verb: "time.set", code: "protocol.rate-limited" } },
  );
});
