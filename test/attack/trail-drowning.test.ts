// The captured agent that wants to drown the trail: with every verb, and with everything that the
// hub really signed for it, it makes as many records as it can.
import { createHash, randomBytes } from "node:crypto";
import { test } from "tap";
import { AUDIT_EVENTS, AUDIT_RECORD_BYTES_MAX, cosign, decodeNote, encodeNote } from "../../warden/audit/format/index.ts";
import { openAuditLog } from "../../warden/audit/index.ts";
import { challengeText, orderOfAnswer, parseChallenge } from "../../warden/orders/format/index.ts";
import { WARDEN_VERBS, type WardenVerb } from "../../warden/protocol/format.ts";
import {
  APPENDED_BYTES_BURST_MAX,
  APPENDED_BYTES_PER_MINUTE_MAX,
  REQUEST_BYTES_PER_SECOND_MAX,
  REQUEST_COST_BYTES,
} from "../../warden/protocol/limits.ts";
import { HUB_TIME_PERIOD_MS } from "../../warden/time/trusted-clock.ts";
import { hubTime } from "../lab/counterparts/hub-signer.ts";
import { labCustom } from "../lab/counterparts/repository.ts";
import { fakeClock } from "../lab/fakes/clock.ts";
import { operator } from "../lab/worlds/orders.ts";
import { DEVICE } from "../lab/worlds/targets.ts";
import {
  filesInMemory,
  recordBytesIn,
  recordsIn,
  type RunningWarden,
  type WardenAnswer,
  type WholeWarden,
  wholeWarden,
} from "../lab/worlds/whole-warden.ts";

/** What the warden's own records may add to the log in a minute, whatever an agent does. */
const OWN_BYTES_PER_MINUTE_MAX = 4 * 1024;
/** The same, once, while the buckets are full. */
const OWN_BYTES_BURST_MAX = 32 * 1024;

/** The shortest requests cost this much time of the socket's budget. */
const REQUEST_MS = Math.ceil((1000 * REQUEST_COST_BYTES) / REQUEST_BYTES_PER_SECOND_MAX);

interface Attacker {
  readonly world: WholeWarden;
  readonly warden: RunningWarden;
  /** A number that no other request has: each refusal has another cause. */
  readonly unique: () => number;
}

const fingerprint = (n: number): string => `sha256:${createHash("sha256").update(`${n}`).digest("hex")}`;
const text = (answer: WardenAnswer, member: string): string => String(answer.result?.[member]);

/** Brings what the warden wants, or garbage in its place. */
async function bring({ world, warden, unique }: Attacker, verb: string, args: object, honest: boolean): Promise<void> {
  const absent: string[] = [];
  world.dropped.clear();
  for (let n = 0; n < 12; n++) {
    const { result } = await warden.ask(verb, { ...args, absent });
    if (result?.["state"] !== "wanted") return;
    const path = String(result["path"]);
    const { files, payloads } = world.repository;
    const bytes = files.get(path.replace("metadata/", "")) ?? payloads.get(path.replace("targets/", ""));
    if (bytes === undefined) absent.push(path);
    else world.dropped.set(String(result["handoverName"]), honest ? bytes : Buffer.from(`{"${unique()}":1}`));
  }
}

/** The worst that an agent can do with each verb in one round. */
const WORST: { readonly [V in WardenVerb]: (attacker: Attacker) => Promise<void> } = {
  hello: async ({ warden }) => void (await warden.ask("hello", { protocol: 1, program: "again" })),
  "identity.read": async ({ warden }) => void (await warden.ask("identity.read", { all: true })),
  "birth.record": async ({ warden, unique }) => {
    for (let n = 0; n < 3; n++)
      await warden.ask("birth.record", { protection: "file", keyFingerprint: fingerprint(unique() % 2 === 0 ? 0 : unique()) });
  },
  "birth.replace": async ({ warden, unique }) =>
    void (await warden.ask("birth.replace", { protection: "tpm", keyFingerprint: fingerprint(unique()) })),
  "key.offer": async ({ warden, unique }) =>
    void (await warden.ask("key.offer", { protection: unique() % 2 === 0 ? "tpm" : "none" })),
  "audit.append": async ({ warden }) => {
    const detail = Object.fromEntries(Array.from({ length: 7 }, (_, n) => [`lie${n}`, "x".repeat(512)]));
    for (let code: string | undefined; code !== "protocol.rate-limited" && code !== "audit.full";)
      code = (await warden.ask("audit.append", { event: "hub.untrusted", result: "refused", detail })).fault?.code;
    for (const [event, { source }] of Object.entries(AUDIT_EVENTS).slice(0, 8))
      if (source === "warden") await warden.ask("audit.append", { event, result: "ok" });
  },
  "audit.read": async ({ warden }) => void (await warden.ask("audit.read", { from: 2 ** 52, count: 64 })),
  "audit.checkpoint": async ({ warden }) => void (await warden.ask("audit.checkpoint", { oldSize: 2 ** 52 })),
  "audit.cosigned": async ({ world, warden }) => {
    const note = decodeNote(text(await warden.ask("audit.checkpoint", { oldSize: 0 }), "checkpoint"));
    const genuine = { ...note, signatures: [...note.signatures, cosign(note.text, 1_764_000_000, world.hub.witness)] };
    for (const each of [genuine, note]) await warden.ask("audit.cosigned", { checkpoint: encodeNote(each) });
  },
  "tpm.read": async ({ warden }) => void (await warden.ask("tpm.read", { all: true })),
  "status.read": async ({ warden }) => void (await warden.ask("status.read", {})),
  "time.nonce": async ({ warden }) => void (await warden.ask("time.nonce", {})),
  "time.set": async ({ world, warden }) => {
    // genuine, and 30 s apart: each is a step of the clock
    for (let n = 0; n < 8; n++) {
      const nonce = text(await warden.ask("time.nonce", {}), "nonce");
      await warden.ask(
        "time.set",
        hubTime(world.hub.time, DEVICE, nonce, world.clock.nowMs() + (n % 2 === 0 ? 30_000 : -30_000)),
      );
    }
  },
  "trust.refresh": async (attacker) => {
    // the hub signs a timestamp now and then; an agent that held them back brings one after the
    // other
    attacker.world.repository.publish("timestamp");
    await bring(attacker, "trust.refresh", {}, true);
    attacker.world.repository.publish("timestamp");
    await bring(attacker, "trust.refresh", {}, false);
  },
  "lockdown.read": async ({ warden }) => void (await warden.ask("lockdown.read", {})),
  "lockdown.preview": async ({ warden }) => void (await warden.ask("lockdown.preview", { policy: "e30=" })),
  "lockdown.enforced": async ({ warden }) => void (await warden.ask("lockdown.enforced", { of: "before-trial" })),
  "lockdown.propose": async ({ warden }) => void (await warden.ask("lockdown.propose", {})),
  "order.nonce": async ({ warden }) => void (await warden.ask("order.nonce", { verb: "lockdown.confirm" })),
  "order.submit": async ({ warden, unique }) => {
    for (const verb of ["console.login", "system.reboot", "update.approve", "lockdown.confirm"])
      await warden.ask("order.submit", { verb, order: JSON.stringify({ payload: `${unique()}` }) });
  },
  "order.signer": async ({ warden }) => void (await warden.ask("order.signer", { keyid: "5a".repeat(32) })),
  "tpm.escrow": async ({ warden }) => void (await warden.ask("tpm.escrow", {})),
  "tpm.escrowed": async ({ warden, unique }) =>
    void (await warden.ask("tpm.escrowed", { note: `${unique()}\n\n— a AAAAAAAA\n` })),
  "reset.plan": async ({ warden }) => void (await warden.ask("reset.plan", {})),
  "update.read": async ({ warden }) => void (await warden.ask("update.read", {})),
  "update.begin": async (attacker) => {
    for (let n = 0; n < 4; n++) await bring(attacker, "update.begin", { target: `os/lab-${attacker.unique()}` }, true);
  },
  "update.write": async ({ warden }) => void (await warden.ask("update.write", { part: "root", from: 0, to: 1 })),
  "update.abandon": async ({ warden, unique }) =>
    void (await warden.ask("update.abandon", { code: "trust.missing", message: `${unique()}` })),
};

async function attackedWarden(t: Parameters<typeof wholeWarden>[0]) {
  const world = wholeWarden(t, DEVICE);
  const files = filesInMemory();
  const started = await world.start(files);
  const warden: RunningWarden = {
    ...started,
    // as fast as the warden serves requests, and no faster: it would never read the next one
    ask: async (verb, args) => {
      const asked = { answered: false };
      const answer = started.ask(verb, args).finally(() => {
        asked.answered = true;
      });
      do await world.clock.advance(REQUEST_MS);
      while (!asked.answered);
      return await answer;
    },
  };
  let last = randomBytes(2).readUInt16BE();
  return { world, files, warden, attacker: { world, warden, unique: () => ++last } satisfies Attacker };
}

test("[AUD-12] [OPS-2] every verb at its worst: the records of a minute stay within a bound", async (t) => {
  t.same(Object.keys(WORST).sort(), Object.keys(WARDEN_VERBS).sort(), "every verb");
  const { world, files, attacker } = await attackedWarden(t);
  const minutes: { readonly own: number; readonly said: number }[] = [];
  let before = recordBytesIn(files.audit);
  for (let minute = 0; minute < 4; minute++) {
    const untilMs = world.clock.monotonicMs() + 60_000;
    while (world.clock.monotonicMs() < untilMs) for (const attack of Object.values(WORST)) await attack(attacker);
    const now = recordBytesIn(files.audit);
    minutes.push({ own: now.warden - before.warden, said: now.agent - before.agent });
    before = now;
  }
  t.comment(minutes.map(({ own, said }) => `own ${own}, said ${said}`).join("; "));
  const [first, ...others] = minutes;
  t.ok((first?.own ?? Infinity) <= OWN_BYTES_BURST_MAX, `${first?.own} bytes of the warden's own in the first minute`);
  t.ok((first?.said ?? Infinity) <= APPENDED_BYTES_BURST_MAX + APPENDED_BYTES_PER_MINUTE_MAX);
  for (const { own, said } of others) {
    t.ok(own <= OWN_BYTES_PER_MINUTE_MAX, `${own} bytes of the warden's own in a minute`);
    // a round of attacks ends after the minute, and what one left of the allowance is in the next
    t.ok(said <= APPENDED_BYTES_PER_MINUTE_MAX + AUDIT_RECORD_BYTES_MAX, `${said} bytes of the agent's in a minute`);
  }
  const events = new Set(recordsIn(files.audit).map(({ event }) => event));
  for (const event of ["time.set", "order.refused", "login.refused", "trust.refreshed", "trust.refused", "update.refused"])
    t.ok(events.has(event), `${event} was caused, or the test proves nothing`);
});

test("[ID-12] [AUD-12] hub time in a loop: taken every 10 s, refused before its signature is checked, recorded when it matters", async (t) => {
  const { world, files, warden } = await attackedWarden(t);
  const set = async (offsetMs: number): Promise<WardenAnswer> => {
    const nonce = text(await warden.ask("time.nonce", {}), "nonce");
    return await warden.ask("time.set", hubTime(world.hub.time, DEVICE, nonce, world.clock.nowMs() + offsetMs));
  };
  const recorded = (): unknown[] =>
    recordsIn(files.audit).flatMap(({ event, detail }) => (event === "time.set" ? [detail?.["stepMs"]] : []));
  t.match(await set(0), { result: { state: "synced" } });
  for (let n = 0; n < 50; n++) t.match(await set(0), { fault: { code: "protocol.rate-limited" } });
  t.same(recorded(), [0], "the first of this start");
  const forged = { deviceId: DEVICE, nonce: "5a".repeat(32), time: "2027-03-01T12:00:00.000Z", signature: "A".repeat(86) + "==" };
  t.match(await warden.ask("time.set", forged), { fault: { code: "protocol.rate-limited" } }, "nothing of it is judged");
  for (let n = 0; n < 6; n++) {
    await world.clock.advance(HUB_TIME_PERIOD_MS);
    t.match(await set(500), { result: { state: "synced" } }, "taken");
  }
  t.same(recorded(), [0, 500], "steps that add up are recorded, single small ones are not");
  await world.clock.advance(HUB_TIME_PERIOD_MS);
  await set(60_000);
  t.same(recorded(), [0, 500, 60_000]);
});

/** Fills `files` with lies of the agent and with refusals, until the log takes neither. */
async function fill(files: ReturnType<typeof filesInMemory>): Promise<void> {
  const log = await openAuditLog({
    files: files.audit,
    state: files.state,
    clock: fakeClock(),
    bootId: "0f0e0d0c-0b0a-4908-8706-050403020100",
    deviceId: DEVICE,
    clockSynced: () => true,
    witness: undefined,
    limits: FULL,
  });
  const detail = Object.fromEntries(Array.from({ length: 6 }, (_, n) => [`lie${n}`, "x".repeat(512)]));
  for (const event of ["hub.untrusted", "trust.refused", "usb.refused", "warden.started", "identity.read"] as const)
    for (const each of [detail, {}])
      for (let full = false; !full;)
        full = (
          await Promise.allSettled(Array.from({ length: 64 }, () => log.append({ event, result: "refused", detail: each })))
        ).some(({ status }) => status === "rejected");
  await log.close();
}

const FULL = { bytesMax: 4_194_304 };

test("[AUD-13] in a full log of 4 MiB an owner's accepted login is recorded, and what is in force", async (t) => {
  const world = wholeWarden(t, DEVICE);
  const files = filesInMemory();
  await fill(files);
  const owner = operator("ann", "owner");
  const roster = JSON.stringify({ v: 1, operators: [{ id: "ann", roles: ["owner"], keys: [owner.key] }] });
  world.repository.addTarget("operators", "operators/lab.json", roster, labCustom({ line: "operators" }));
  world.repository.publish("operators");
  const before = recordsIn(files.audit).length;
  const warden = await world.start(files, FULL);
  await bring({ world, warden, unique: () => 0 }, "trust.refresh", {}, true);
  const nonce = text(await warden.ask("order.nonce", { verb: "console.login" }), "nonce");
  const challenge = challengeText({ verb: "console.login", deviceId: DEVICE, nonce });
  const order = JSON.stringify(orderOfAnswer(parseChallenge(challenge), owner.answer(challenge)));
  t.match(await warden.ask("order.submit", { verb: "console.login", order }), { result: { by: "ann" } });
  const events = recordsIn(files.audit)
    .slice(before)
    .map(({ event }) => event);
  for (const event of ["login.accepted", "roster.accepted", "lockdown.enforced"]) t.ok(events.includes(event), events.join(" "));
  t.notOk(events.includes("warden.started"), "the log is full for every other kind");
  t.ok(world.journal.some((line) => line.includes('record "warden.started"') && line.includes("audit.full")));
  await warden.stop();
});
