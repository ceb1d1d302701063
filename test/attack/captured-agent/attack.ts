// A hostile peer on the real socket of a real warden, in the place of the agent, and what must be
// the same after its attack.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Test } from "tap";
import { Fault } from "../../../hal/fault.ts";
import { AUDIT_EVENTS, type AuditRecord, isAuditEventName } from "../../../warden/audit/format/index.ts";
import type { WardenClient } from "../../../warden/client/index.ts";
import type { WardenVerb } from "../../../warden/protocol/format.ts";
import { INVALID_REQUESTS_MAX } from "../../../warden/protocol/limits.ts";
import { type HostilePeer, hostilePeer } from "../../lab/worlds/warden-socket.ts";
import { type LabWarden, labWarden, verifiedLog } from "../../lab/worlds/warden.ts";

export const DEVICE = "GW-4711";
export const HOUR_MS = 3_600_000;
export const BORN = { protection: "file", keyFingerprint: `sha256:${"ab".repeat(32)}` } as const;

export interface Attack {
  readonly t: Test;
  readonly lab: LabWarden;
  readonly peer: HostilePeer;
  /** Calls a verb and expects a refusal, with one of `codes` when they are given. */
  readonly refused: (verb: string, args: unknown, codes?: RegExp) => Promise<void>;
}

/** An attack for each verb of a group: a new verb is a compile error until it has one. */
export type AttacksOn<G extends string> = {
  readonly [V in Extract<WardenVerb, `${G}.${string}`>]: (attack: Attack) => Promise<void>;
};

/** A warden whose birth is recorded, and the client of an honest agent. */
export async function bornWarden(t: Test): Promise<{ readonly lab: LabWarden; readonly honest: WardenClient }> {
  const lab = await labWarden(t, { serial: DEVICE });
  await lab.start();
  const honest = lab.client();
  await honest.call("birth.record", BORN);
  return { lab, honest };
}

export async function asCaptured(t: Test, lab: LabWarden): Promise<Attack> {
  const peer = await persistentPeer(lab);
  return {
    t,
    lab,
    peer,
    refused: async (verb, args, codes = /./u) => {
      const answer = await peer.ask(verb, args);
      t.match(answer, { fault: { code: codes } }, `${verb} ${JSON.stringify(args).slice(0, 80)}`);
    },
  };
}

/**
 * A peer that connects again where the warden ends its connection after too many invalid requests
 * [OPS-10], as a captured agent would.
 */
async function persistentPeer(lab: LabWarden): Promise<HostilePeer> {
  const open = async (): Promise<HostilePeer> => {
    const peer = await hostilePeer(lab.socket);
    await peer.hello();
    return peer;
  };
  const state = { peer: await open(), invalid: 0 };
  return {
    get socket() {
      return state.peer.socket;
    },
    write: (bytes) => state.peer.write(bytes),
    next: () => state.peer.next(),
    hello: () => state.peer.hello(),
    end: () => state.peer.end(),
    ask: async (verb, args) => {
      const answer = await state.peer.ask(verb, args);
      if (isInvalid(answer)) state.invalid += 1;
      if (state.invalid === INVALID_REQUESTS_MAX) {
        state.peer.end();
        Object.assign(state, { peer: await open(), invalid: 0 });
      }
      return answer;
    },
  };
}

function isInvalid(answer: unknown): boolean {
  return /"code":"protocol\.(?:invalid|unknown-verb)"/u.test(JSON.stringify(answer));
}

/** What must not change. The log may grow: by refusals, and by what an agent may say. */
export interface Observation {
  readonly birth: string;
  readonly identity: string;
  readonly clock: { readonly state: string; readonly offsetMs: number };
  readonly witnessedSize: number;
  readonly log: readonly AuditRecord[];
}

export async function observe(lab: LabWarden, honest: WardenClient): Promise<Observation> {
  const { identity, birth, auditKey } = await honest.call("identity.read", {});
  const { clock, audit } = await honest.call("status.read", {});
  return {
    birth: readFileSync(join(lab.board.birth, "birth.json"), "utf8"),
    identity: JSON.stringify({ identity, birth, auditKey }),
    clock: { state: clock.state, offsetMs: clock.nowMs - Date.now() },
    witnessedSize: audit.witnessedSize,
    log: await verifiedLog(honest),
  };
}

export function expectUnchanged(t: Test, before: Observation, after: Observation): void {
  t.equal(after.birth, before.birth, "birth record is unchanged");
  t.equal(after.identity, before.identity, "identity and audit key are unchanged");
  t.equal(after.clock.state, before.clock.state, "clock state is unchanged");
  t.ok(Math.abs(after.clock.offsetMs - before.clock.offsetMs) < HOUR_MS, "clock was not stepped");
  t.equal(after.witnessedSize, before.witnessedSize, "nothing counts as witnessed that was not");
  t.same(after.log.slice(0, before.log.length), before.log, "every earlier record is there, unchanged; the log verifies");
  const more = after.log.slice(before.log.length);
  t.ok(
    more.every(({ source, event }) => isAuditEventName(event) && AUDIT_EVENTS[event].source === source),
    "no record claims another source",
  );
}

/** The two slots and the boot choice, as they are on the disk. */
export function slotsOf(lab: LabWarden): readonly string[] {
  const { a, b, bootChoice } = lab.board.slots;
  return [a, b, bootChoice].map((file) => readFileSync(file, "latin1"));
}

/**
 * @returns the result of an answer that an attack needs for its next step.
 * @throws Fault `assert.broken`.
 */
export function resultOf<T>(answer: unknown, is: (result: unknown) => result is T): T {
  const result = typeof answer === "object" && answer !== null && "result" in answer ? answer.result : undefined;
  if (!is(result)) throw new Fault("assert.broken", `an attack needs another answer than ${JSON.stringify(answer)}`);
  return result;
}

export const isNonce = (result: unknown): result is { nonce: string } =>
  typeof result === "object" && result !== null && "nonce" in result;
