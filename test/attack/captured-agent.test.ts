// The captured agent: a hostile peer on the real socket of a real warden. Whatever it says, the clock, the birth record and the log stay what they were, and the
// warden still answers. It grows with every verb: a verb without an attack does not compile, and does not pass.
import { generateKeyPairSync } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test, type Test } from "tap";
import * as v from "valibot";
import { Fault } from "../../hal/fault.ts";
import {
  AUDIT_EVENTS,
  type AuditRecord,
  cosign,
  decodeCheckpoint,
  decodeNote,
  ed25519Raw,
  encodeCheckpoint,
  encodeNote,
  isAuditEventName,
  signNote,
  verifierOf,
} from "../../warden/audit/format/index.ts";
import type { WardenClient } from "../../warden/client/index.ts";
import { orderKeyId, orderSchema, type OrderVerb, orderVerbSchema, signOrder } from "../../warden/orders/format/index.ts";
import { PROTOCOL_LINE_BYTES_MAX, WARDEN_VERBS, type WardenVerb } from "../../warden/protocol/format.ts";
import { APPENDED_BYTES_BURST_MAX, REFUSALS_RECORDED_BURST_MAX } from "../../warden/protocol/limits.ts";
import { CONNECTIONS_MAX } from "../../warden/socket/limits.ts";
import { hubTime, makeSigner } from "../lab/counterparts/hub-signer.ts";
import { policyBytes } from "../lab/worlds/lockdown.ts";
import { type LabWarden, labWarden, verifiedLog } from "../lab/worlds/warden.ts";
import { type HostilePeer, hostilePeer } from "../lab/worlds/warden-socket.ts";

const DEVICE = "GW-4711";
const HOUR_MS = 3_600_000;
const BORN = { protection: "file", keyFingerprint: `sha256:${"ab".repeat(32)}` } as const;

/** What must not change. The log may grow: by what was refused, and by what an agent may say. */
interface Look {
  readonly birth: string;
  readonly identity: string;
  readonly clock: { readonly state: string; readonly offsetMs: number };
  readonly witnessedSize: number;
  readonly log: readonly AuditRecord[];
}

async function look(lab: LabWarden, honest: WardenClient): Promise<Look> {
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

function sameStill(t: Test, before: Look, after: Look): void {
  t.equal(after.birth, before.birth, "birth record as it was");
  t.equal(after.identity, before.identity, "identity and audit key as they were");
  t.equal(after.clock.state, before.clock.state, "clock state as it was");
  t.ok(Math.abs(after.clock.offsetMs - before.clock.offsetMs) < HOUR_MS, "clock not stepped");
  t.equal(after.witnessedSize, before.witnessedSize, "nothing counts as witnessed that was not");
  t.same(after.log.slice(0, before.log.length), before.log, "every record there was is there, unchanged; the log verifies");
  const more = after.log.slice(before.log.length);
  t.ok(
    more.every(({ source, event }) => isAuditEventName(event) && AUDIT_EVENTS[event].source === source),
    "no record says that another wrote it",
  );
}

interface Attack {
  readonly t: Test;
  readonly lab: LabWarden;
  readonly peer: HostilePeer;
  /** Asks and expects a refusal, of one of `codes` when given. */
  readonly refused: (verb: string, args: unknown, codes?: RegExp) => Promise<void>;
}

const OTHER_TREE = (size: number): string =>
  encodeCheckpoint({ origin: `sallyport/1/${DEVICE}`, size, root: Buffer.alloc(32, 7) });

/** One attack a verb; a new verb makes this a compile error until it has one. */
const ATTACKS: { readonly [V in WardenVerb]: (attack: Attack) => Promise<void> } = {
  hello: async ({ t, lab }) => {
    for (const args of [
      {},
      { protocol: 0, program: "x" },
      { protocol: "1", program: "x" },
      { protocol: 1, program: "x".repeat(65) },
      { protocol: 1, program: "x", uid: 0 },
      [],
      null,
      "root",
    ]) {
      const peer = await hostilePeer(lab.socket);
      t.match(await peer.ask("hello", args), { fault: { code: "protocol.invalid" } }, JSON.stringify(args).slice(0, 60));
      t.equal(await peer.next(), undefined, "and the connection is over");
    }
  },

  "identity.read": async ({ t, peer, refused }) => {
    await refused("identity.read", { path: "/etc/shadow" });
    await refused("identity.read", { id: "GW-0000" });
    const answer = JSON.stringify(await peer.ask("identity.read", {}));
    t.notMatch(answer, /private|secret|password/iu, "no secret in what it may know");
  },

  "birth.record": async ({ peer, t, refused }) => {
    await refused("birth.record", { protection: "tpm", keyFingerprint: `sha256:${"cd".repeat(32)}` }, /birth\.conflict/u);
    await refused("birth.record", { ...BORN, protection: "tpm" }, /birth\.conflict/u);
    await refused("birth.record", { ...BORN, id: "GW-0000" }, /protocol\.invalid/u);
    await refused("birth.record", { ...BORN, keyFingerprint: "sha256:../../etc/passwd" }, /protocol\.invalid/u);
    await refused("birth.record", { ...BORN, protection: "none" }, /protocol\.invalid/u);
    t.match(await peer.ask("birth.record", BORN), { result: { ...BORN, id: DEVICE } }, "the same again is no second birth");
  },

  "audit.append": async ({ t, peer, refused }) => {
    for (const [event, { source }] of Object.entries(AUDIT_EVENTS))
      if (source === "warden") await refused("audit.append", { event, result: "ok" }, /audit\.unknown-event/u);
    const said = { event: "agent.started", result: "ok" };
    await refused("audit.append", { ...said, event: "made.up" });
    for (const event of ["__proto__", "constructor", "toString"]) await refused("audit.append", { ...said, event });
    for (const forged of [
      { source: "warden" },
      { seq: 0 },
      { at: "1970-01-01T00:00:00.000Z" },
      { synced: true },
      { id: 3001 },
      { severity: "info" },
      { boot: "0" },
    ])
      await refused("audit.append", { ...said, ...forged }, /protocol\.invalid/u);
    await refused("audit.append", { ...said, detail: { text: "x".repeat(513) } });
    await refused("audit.append", { ...said, detail: { nested: { deep: 1 } } });
    await refused("audit.append", { ...said, detail: Object.fromEntries(Array.from({ length: 17 }, (_, n) => [`m${n}`, n])) });
    await refused("audit.append", { ...said, detail: { float: 0.1 } });
    const full = { ...said, detail: Object.fromEntries(Array.from({ length: 16 }, (_, n) => [`m${n}`, "\u0001".repeat(512)])) };
    await refused("audit.append", full, /audit\.|protocol\./u);
    t.match(
      await peer.ask("audit.append", { ...said, detail: { forged: '\u001b[2J\n{"source":"warden"}' } }),
      { result: {} },
      "text is only text",
    );
  },

  "audit.read": async ({ t, peer, refused }) => {
    for (const args of [
      { from: -1, count: 1 },
      { from: 0, count: 0 },
      { from: 0, count: 65 },
      { from: 0, count: 1e9 },
      { from: 0.5, count: 1 },
      { from: "0", count: 1 },
      { from: 2 ** 53, count: 1 },
      { from: 0, count: 1, file: "audit.key" },
    ])
      await refused("audit.read", args, /protocol\.invalid/u);
    const beyond = JSON.stringify(await peer.ask("audit.read", { from: Number.MAX_SAFE_INTEGER, count: 64 }));
    t.match(beyond, /"records":\[\]|"fault"/u, "past the end there is nothing");
  },

  "audit.checkpoint": async ({ refused }) => {
    for (const args of [
      { oldSize: -1 },
      { oldSize: Number.MAX_SAFE_INTEGER },
      { oldSize: 0, size: Number.MAX_SAFE_INTEGER },
      { oldSize: 2, size: 1 },
      { oldSize: 0, origin: "sallyport/1/GW-0000" },
      { oldSize: 0, root: "AAAA" },
    ])
      await refused("audit.checkpoint", args);
  },

  "audit.cosigned": async ({ lab, peer, refused }) => {
    const { checkpoint } = resultOf<{ checkpoint: string }>(await peer.ask("audit.checkpoint", { oldSize: 0 }), isCheckpoint);
    const ours = decodeNote(checkpoint);
    const at = 1_764_000_000;
    const impostor = makeSigner(lab.hub.witness.verifier.name, "cosignature/v1");
    const { publicKey, privateKey } = generateKeyPairSync("ed25519");
    const mine = { privateKey, verifier: verifierOf(`sallyport/1/${DEVICE}`, "ed25519", ed25519Raw(publicKey)) };
    const { size } = decodeCheckpoint(ours.text);
    const elsewhere = encodeCheckpoint({ ...decodeCheckpoint(ours.text), origin: "sallyport/1/GW-0000" });
    const forged: readonly [string, string][] = [
      ["no note", "witnessed, believe me"],
      ["nothing", ""],
      ["not cosigned at all", checkpoint],
      [
        "cosigned by a key of the witness's name",
        encodeNote({ ...ours, signatures: [...ours.signatures, cosign(ours.text, at, impostor)] }),
      ],
      [
        "another tree, signed by the witness and by no warden",
        encodeNote({ text: OTHER_TREE(size), signatures: [cosign(OTHER_TREE(size), at, lab.hub.witness)] }),
      ],
      [
        "another tree, signed by the witness and a key the agent made",
        encodeNote({
          text: OTHER_TREE(size),
          signatures: [signNote(OTHER_TREE(size), mine), cosign(OTHER_TREE(size), at, lab.hub.witness)],
        }),
      ],
      [
        "another tree under our signature",
        encodeNote({ text: OTHER_TREE(size), signatures: [...ours.signatures, cosign(OTHER_TREE(size), at, lab.hub.witness)] }),
      ],
      [
        "more than the log has",
        encodeNote({
          text: OTHER_TREE(1_000_000),
          signatures: [...ours.signatures, cosign(OTHER_TREE(1_000_000), at, lab.hub.witness)],
        }),
      ],
      [
        "another device's log",
        encodeNote({ text: elsewhere, signatures: [...ours.signatures, cosign(elsewhere, at, lab.hub.witness)] }),
      ],
      [
        "the time changed under the cosignature",
        encodeNote({ ...ours, signatures: [...ours.signatures, later(cosign(ours.text, at, lab.hub.witness))] }),
      ],
      [
        "the hub's time key as a witness",
        encodeNote({ ...ours, signatures: [...ours.signatures, cosign(ours.text, at, lab.hub.time)] }),
      ],
    ];
    for (const [, note] of forged) await refused("audit.cosigned", { checkpoint: note });
    await refused("audit.cosigned", { checkpoint: "x".repeat(8193) }, /protocol\.invalid/u);
  },

  "status.read": async ({ refused }) => {
    await refused("status.read", { of: "/proc/1/environ" });
  },

  "time.nonce": async ({ t, peer, refused }) => {
    await refused("time.nonce", { count: 1_000_000 });
    const nonces = new Set<string>();
    for (let n = 0; n < 40; n++) nonces.add(JSON.stringify(await peer.ask("time.nonce", {})).replace(/"id":\d+/u, ""));
    t.equal(nonces.size, 40, "never one twice");
  },

  "time.set": async ({ lab, peer, refused }) => {
    const nonce = async (): Promise<string> => resultOf<{ nonce: string }>(await peer.ask("time.nonce", {}), isNonce).nonce;
    const impostor = makeSigner(lab.hub.time.verifier.name, "ed25519");
    const soon = Date.now() + 365 * 24 * HOUR_MS;
    await refused("time.set", hubTime(impostor, DEVICE, await nonce(), soon), /time\.bad-signature/u);
    await refused("time.set", hubTime(lab.hub.witness, DEVICE, await nonce(), soon), /time\.bad-signature/u);
    await refused("time.set", hubTime(lab.hub.time, "GW-0000", await nonce(), soon), /time\.bad-signature/u);
    await refused(
      "time.set",
      { ...hubTime(lab.hub.time, DEVICE, await nonce(), Date.now()), time: new Date(soon).toISOString() },
      /time\.bad-signature/u,
    );
    await refused("time.set", hubTime(lab.hub.time, DEVICE, "5a".repeat(32), soon), /time\.nonce-unknown/u);
    await refused("time.set", hubTime(lab.hub.time, DEVICE, await nonce(), Date.UTC(1999, 0, 1)), /time\.out-of-range/u);
    await refused("time.set", hubTime(lab.hub.time, DEVICE, await nonce(), Date.UTC(2077, 0, 1)), /time\.out-of-range/u);
    const answer = hubTime(impostor, DEVICE, await nonce(), soon);
    await refused("time.set", answer, /time\.bad-signature/u);
    await refused("time.set", { ...hubTime(lab.hub.time, DEVICE, answer.nonce, soon) }, /time\.nonce-unknown/u);
    await refused("time.set", { unixMs: soon });
    await refused("time.set", { ...answer, force: true }, /protocol\.invalid/u);
  },

  "trust.refresh": async ({ t, peer, refused }) => {
    for (const args of [
      {},
      { absent: "metadata/2.root.json" },
      { absent: ["../../etc/shadow"] },
      { absent: ["/etc/shadow"] },
      { absent: ["metadata/../../keys"] },
      { absent: ["metadata//timestamp.json"] },
      { absent: ["metadata/%2e%2e/root.json"] },
      { absent: ["metadata/2.root.json\n"] },
      { absent: ["a".repeat(257)] },
      { absent: Array.from({ length: 17 }, () => "a") },
      { absent: [], path: "/etc/shadow" },
      { absent: [], root: "AAAA" },
    ])
      await refused("trust.refresh", args, /protocol\.invalid/u);
    const everything = ["metadata/2.root.json", "metadata/timestamp.json"];
    for (const absent of [[], everything, ["metadata/2.root.json"], everything]) {
      const answer = JSON.stringify(await peer.ask("trust.refresh", { absent }));
      t.match(answer, /"fault"|"wanted"/u, "nothing is current because an agent says what there is not");
    }
  },
  "lockdown.read": async ({ t, peer, refused }) => {
    await refused("lockdown.read", { of: "/etc/shadow" }, /protocol\.invalid/u);
    await refused("lockdown.read", { policy: "" }, /protocol\.invalid/u);
    const answer = await peer.ask("lockdown.read", {});
    t.match(answer, { result: { state: { at: "base" }, open: Array, usb: Array } });
    t.notMatch(JSON.stringify(answer), /nonce|private|secret/iu, "no nonce where nothing is on trial, no secret ever");
  },

  "lockdown.preview": async ({ t, peer, refused }) => {
    const lockdown = async (): Promise<string> => JSON.stringify(await peer.ask("lockdown.read", {})).replace(/"id":\d+/u, "");
    const before = await lockdown();
    const base64 = (text: string): string => Buffer.from(text).toString("base64");
    for (const args of [
      {},
      { policy: "/etc/shadow" },
      { policy: { mode: "shut" } },
      { policy: "A".repeat(60_000) },
      { policy: base64("{}"), counter: 9 },
      { policy: base64("{}"), apply: true },
    ])
      await refused("lockdown.preview", args, /protocol\.invalid/u);
    for (const text of ["", "no policy", "{}", '{"v":1,"mode":"open"}', "[".repeat(20_000)])
      await refused("lockdown.preview", { policy: base64(text) }, /lockdown\.invalid/u);
    const wideOpen = Buffer.from(policyBytes({ mode: "enforce", confirmWithinS: 600 })).toString("base64");
    t.match(await peer.ask("lockdown.preview", { policy: wideOpen }), { result: { planHash: /^sha256:/u } });
    t.equal(await lockdown(), before, "what was looked at is not what is in force");
    for (let n = 0; n < 20; n++) await peer.ask("lockdown.preview", { policy: wideOpen });
    await refused("lockdown.preview", { policy: wideOpen }, /protocol\.rate-limited/u);
    t.equal(await lockdown(), before, "nor after a flood");
  },

  "lockdown.propose": async ({ t, lab, peer, refused }) => {
    const lockdown = async (): Promise<string> => JSON.stringify(await peer.ask("lockdown.read", {})).replace(/"id":\d+/u, "");
    const before = await lockdown();
    const policy = Buffer.from(policyBytes()).toString("base64");
    for (const args of [{ policy }, { policy, counter: 9 }, { counter: 9 }, { target: "policy/mine.json" }, { force: true }])
      await refused("lockdown.propose", args, /protocol\.invalid/u);
    for (let n = 0; n < 12; n++) await refused("lockdown.propose", {}, /lockdown\.unchanged/u);
    t.equal(await lockdown(), before, "nothing is on trial that nobody signed");
    t.notOk(existsSync(join(lab.board.wardenState, "lockdown/lockdown.json")), "and no intent was recorded");
  },

  "order.nonce": async ({ t, peer, refused }) => {
    for (const args of [
      {},
      { verb: "shell.run" },
      { verb: "__proto__" },
      { verb: ["console.login"] },
      { verb: "console.login", count: 1_000_000 },
      { verb: "console.login", deviceId: "GW-0000" },
      { verb: "console.login", nonce: "5a".repeat(32) },
    ])
      await refused("order.nonce", args, /protocol\.invalid/u);
    for (const verb of ["system.wipe", "role.grant", "lockdown.open", "lockdown.confirm", "lockdown.revert"])
      await refused("order.nonce", { verb });
    const answers: string[] = [];
    for (let n = 0; n < 40; n++)
      answers.push(JSON.stringify(await peer.ask("order.nonce", { verb: "console.login" })).replace(/"id":\d+/u, ""));
    const made = answers.filter((answer) => answer.includes('"nonce"'));
    t.equal(new Set(made).size, made.length, "never one twice");
  },
  "order.submit": async ({ peer, refused }) => {
    const nonceFor = async (verb: OrderVerb): Promise<string> => {
      const { result } = v.parse(v.looseObject({ result: v.optional(v.unknown()) }), await peer.ask("order.nonce", { verb }));
      return isNonce(result) ? result.nonce : "5a".repeat(32);
    };
    const mine = generateKeyPairSync("ed25519");
    const order = (verb: OrderVerb, nonce: string, change: Readonly<Record<string, unknown>> = {}): string => {
      const notAfter = "2099-01-01T00:00:00.000Z";
      const parsed = v.parse(orderSchema, { v: 1, deviceId: DEVICE, nonce, verb, notAfter, ...change });
      return JSON.stringify(signOrder(parsed, mine.privateKey, orderKeyId(mine.publicKey)));
    };
    for (const verb of orderVerbSchema.options) {
      const nonce = await nonceFor(verb);
      const foreign = order(verb, nonce);
      await refused("order.submit", { verb, order: foreign });
      await refused("order.submit", { verb, order: foreign });
      await refused("order.submit", { verb, order: order(verb, nonce, { deviceId: "GW-0000" }) });
      await refused("order.submit", { verb, order: order(verb, nonce, { planHash: `sha256:${"ab".repeat(32)}` }) });
      await refused("order.submit", { verb, order: order("console.login", nonce, { reason: "\u001b[2J" }) });
      await refused("order.submit", { verb, order: foreign.replace(/"signatures":\[.*\]/u, '"signatures":[]') });
      await refused("order.submit", { verb, order: "" });
    }
    const nonce = await nonceFor("console.login");
    const login = { verb: "console.login", order: order("console.login", nonce) };
    for (const args of [
      {},
      { order: login.order },
      { ...login, verb: "shell.run" },
      { ...login, by: "owner" },
      { ...login, roles: ["owner"] },
      { ...login, order: { payload: "" } },
      { ...login, order: "x".repeat(8193) },
    ])
      await refused("order.submit", args, /protocol\.invalid/u);
  },
  "update.read": async ({ t, peer, refused }) => {
    await refused("update.read", { slot: "b" }, /protocol\.invalid/u);
    await refused("update.read", { path: "/etc/shadow" }, /protocol\.invalid/u);
    const answer = await peer.ask("update.read", {});
    t.match(answer, { result: { phase: "idle" } });
    t.notMatch(JSON.stringify(answer), /expects|awaitsOrder|private|secret/iu, "nothing is expected, nothing waits for an order");
  },

  "update.begin": async ({ t, lab, peer, refused }) => {
    const { a, b, bootChoice } = lab.board.slots;
    const slots = (): readonly string[] => [a, b, bootChoice].map((file) => readFileSync(file, "latin1"));
    const before = slots();
    for (const args of [
      {},
      { target: "os/gateway-9" },
      { target: "../../etc/shadow", absent: [] },
      { target: "os/../../etc/shadow", absent: [] },
      { target: "os//gateway-9", absent: [] },
      { target: "/os/gateway-9", absent: [] },
      { target: "os/", absent: [] },
      { target: "root/gateway-9", absent: [] },
      { target: `os/${"g".repeat(129)}`, absent: [] },
      { target: "os/gateway-9\n", absent: [] },
      { target: ["os/gateway-9"], absent: [] },
      { target: "os/gateway-9", absent: ["../../etc/shadow"] },
      { target: "os/gateway-9", absent: Array.from({ length: 17 }, () => "a") },
      { target: "os/gateway-9", absent: [], slot: "a" },
      { target: "os/gateway-9", absent: [], digest: "ab".repeat(32) },
      { target: "os/gateway-9", absent: [], manifest: { v: 1, store: "store", parts: [] } },
      { target: "os/gateway-9", absent: [], ordered: true },
      { target: "os/gateway-9", absent: [], approval: "signed" },
    ])
      await refused("update.begin", args, /protocol\.invalid/u);
    const everything = ["metadata/2.root.json", "metadata/timestamp.json", "metadata/1.snapshot.json", "metadata/1.targets.json"];
    for (const target of ["os/gateway-9", "app/agent-9", "policy/open.json", "operators/roster.json", "hub/hub.json"])
      for (const absent of [[], everything]) {
        const answer = JSON.stringify(await peer.ask("update.begin", { target, absent }));
        t.match(answer, /"fault"|"wanted"/u, `${target}: nothing is begun that nobody signed`);
      }
    t.match(await peer.ask("update.read", {}), { result: { phase: "idle" } });
    t.same(slots(), before, "neither slot nor boot choice has changed");
  },

  "update.write": async ({ t, lab, peer, refused }) => {
    const { a, b, bootChoice } = lab.board.slots;
    const slots = (): readonly string[] => [a, b, bootChoice].map((file) => readFileSync(file, "latin1"));
    const before = slots();
    const stretch = { part: "root", from: 0, to: 1 };
    for (const args of [
      {},
      { ...stretch, part: "boot" },
      { ...stretch, part: "../a.img" },
      { ...stretch, part: "__proto__" },
      { ...stretch, from: -1 },
      { ...stretch, to: 2 ** 53 },
      { ...stretch, to: 0.5 },
      { ...stretch, from: "0" },
      { ...stretch, slot: "a" },
      { ...stretch, handover: "/etc" },
      { ...stretch, bytes: "AAAA" },
    ])
      await refused("update.write", args, /protocol\.invalid/u);
    for (const args of [stretch, { ...stretch, to: Number.MAX_SAFE_INTEGER }, { part: "kernel", from: 0, to: 0 }])
      await refused("update.write", args, /update\.not-waiting/u);
    t.match(await peer.ask("update.read", {}), { result: { phase: "idle" } });
    t.same(slots(), before, "neither slot nor boot choice has changed");
  },

  "update.abandon": async ({ t, lab, peer, refused }) => {
    const { a, b, bootChoice } = lab.board.slots;
    const slots = (): readonly string[] => [a, b, bootChoice].map((file) => readFileSync(file, "latin1"));
    const before = slots();
    const words = { code: "chunk.missing", message: "there is none" };
    for (const args of [
      {},
      { code: "chunk.missing" },
      { message: "there is none" },
      { ...words, code: "shell.run" },
      { ...words, code: "__proto__" },
      { ...words, message: "x".repeat(257) },
      { ...words, message: ["there is none"] },
      { ...words, target: "os/gateway-9" },
      { ...words, slot: "a" },
      { ...words, phase: "rolled-back" },
      { ...words, by: "owner" },
    ])
      await refused("update.abandon", args, /protocol\.invalid/u);
    for (const message of ["", words.message, "\u001b[2J\r\n", "\ud800"])
      await refused("update.abandon", { ...words, message }, /update\.not-waiting/u);
    t.match(await peer.ask("update.read", {}), { result: { phase: "idle" } });
    t.same(slots(), before, "neither slot nor boot choice has changed");
  },
};

function later(signature: ReturnType<typeof cosign>): ReturnType<typeof cosign> {
  const bytes = Buffer.from(signature.bytes);
  bytes.writeUInt8(bytes.readUInt8(7) ^ 1, 7);
  return { ...signature, bytes };
}

/** The result of an answer that an attack needs for its next step. */
function resultOf<T>(answer: unknown, is: (result: unknown) => result is T): T {
  const result = typeof answer === "object" && answer !== null && "result" in answer ? answer.result : undefined;
  if (!is(result)) throw new Fault("assert.broken", `an attack needs another answer than ${JSON.stringify(answer)}`);
  return result;
}
const isNonce = (result: unknown): result is { nonce: string } =>
  typeof result === "object" && result !== null && "nonce" in result;
const isCheckpoint = (result: unknown): result is { checkpoint: string } =>
  typeof result === "object" && result !== null && "checkpoint" in result;

async function asCaptured(t: Test, lab: LabWarden): Promise<Attack> {
  const peer = await hostilePeer(lab.socket);
  await peer.hello();
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

async function bornWarden(t: Test): Promise<{ readonly lab: LabWarden; readonly honest: WardenClient }> {
  const lab = await labWarden(t, { serial: DEVICE });
  await lab.start();
  const honest = lab.client();
  await honest.call("birth.record", BORN);
  return { lab, honest };
}

test("[OPS-2] every verb has its attack", async (t) => {
  t.same(Object.keys(ATTACKS).sort(), Object.keys(WARDEN_VERBS).sort());
});

test("[OPS-2] verb by verb, nothing a captured agent says weakens the machine", async (t) => {
  const { lab, honest } = await bornWarden(t);
  for (const [verb, attack] of Object.entries(ATTACKS)) {
    await t.test(`[OPS-2] ${verb}`, async (t) => {
      const before = await look(lab, honest);
      const attacker = await asCaptured(t, lab);
      await attack(attacker);
      attacker.peer.end();
      sameStill(t, before, await look(lab, honest));
    });
  }
});

test("[OPS-1] [OPS-2] what is no protocol at all weakens nothing either", async (t) => {
  const { lab, honest } = await bornWarden(t);
  const before = await look(lab, honest);
  const assaults: readonly [string, string | Buffer][] = [
    ["an HTTP request", "GET / HTTP/1.1\r\nHost: warden\r\n\r\n"],
    ["a TLS hello", Buffer.from("16030100a5010000a10303", "hex")],
    ["zeros", Buffer.alloc(200_000)],
    ["newlines", "\n".repeat(1000)],
    ["a line without end", "{".repeat(3 * PROTOCOL_LINE_BYTES_MAX)],
    ["half a request", '{"id":1,"verb":"hel'],
    ["depth", `${'{"a":'.repeat(10_000)}1${"}".repeat(10_000)}\n`],
    ["the prototype for a verb", '{"id":2,"verb":"__proto__","args":{}}\n'],
    ["the prototype for arguments", '{"id":2,"verb":"status.read","args":{"__proto__":{"admin":true}}}\n'],
    ["the prototype for a request", '{"__proto__":{"verb":"status.read"},"id":2,"args":{}}\n'],
  ];
  for (const greeted of [false, true]) {
    for (const [what, bytes] of assaults) {
      const peer = await hostilePeer(lab.socket);
      if (greeted) await peer.hello();
      peer.write(bytes);
      peer.socket.end();
      for (let said = await peer.next(); said !== undefined; said = await peer.next()) t.match(said, { fault: {} }, what);
    }
  }
  sameStill(t, before, await look(lab, honest));
});

test("[OPS-2] floods: the warden answers others, and the log grows by a bounded number of refusals", async (t) => {
  const { lab, honest } = await bornWarden(t);
  const before = await look(lab, honest);
  const attacker = await asCaptured(t, lab);
  attacker.peer.write('{"id":9,"verb":"shell.run","args":{}}\n'.repeat(300));
  const others = await Promise.all(Array.from({ length: 2 * CONNECTIONS_MAX }, () => hostilePeer(lab.socket)));
  for (let n = 0; n < 5; n++) await honest.call("status.read", {});
  for (const peer of [attacker.peer, ...others]) peer.end();
  const after = await look(lab, honest);
  sameStill(t, before, after);
  const refused = after.log.filter(({ event }) => event === "protocol.refused").length;
  t.ok(refused > 0 && refused <= REFUSALS_RECORDED_BURST_MAX, `${refused} records of refusals`);
});

/** As long and as severe as what an agent may say gets. */
const LIE = {
  event: "hub.untrusted",
  result: "refused",
  detail: Object.fromEntries(Array.from({ length: 7 }, (_, n) => [`lie${n}`, "x".repeat(512)])),
} as const;

/** Appends lies until one is refused. @returns the code of the refusal, and how many went in before. */
async function lieUntilRefused({ peer }: Attack): Promise<{ readonly code: string; readonly taken: number }> {
  for (let taken = 0; ; taken++) {
    const answer = JSON.stringify(await peer.ask("audit.append", LIE));
    const code = /"code":"([a-z.-]+)"/u.exec(answer)?.[1];
    if (code !== undefined) return { code, taken };
  }
}

test("[AUD-11] [OPS-2] an agent that fills the log with grave lies does not silence the warden, however often that is started again", async (t) => {
  const lab = await labWarden(t, { serial: DEVICE, config: { audit: { bytesMax: 4_194_304 } } });
  let starts = 0;
  let lies = 0;
  for (let code = ""; code !== "audit.full";) {
    t.ok(++starts < 20, "the log is full some day");
    const warden = await lab.start();
    const attacker = await asCaptured(t, lab);
    const flood = await lieUntilRefused(attacker);
    ({ code } = flood);
    lies += flood.taken;
    t.ok(flood.taken * 4096 < APPENDED_BYTES_BURST_MAX * 1.5, `${flood.taken} lies at once, then ${code}`);
    await attacker.refused(
      "time.set",
      hubTime(makeSigner(lab.hub.time.verifier.name, "ed25519"), DEVICE, "5a".repeat(32), Date.now()),
      /time\.nonce-unknown/u,
    );
    attacker.peer.end();
    await warden.stop("SIGKILL");
  }
  await lab.start();
  const log = await verifiedLog(lab.client());
  const count = (name: string): number => log.filter(({ event }) => event === name).length;
  t.equal(count(LIE.event), lies);
  t.equal(count("warden.started"), starts + 1, "every start is in the log");
  t.equal(count("time.refused"), starts, "and every lie about the time");
});

test("[ID-10] [AUD-8] the same door, honestly used, does work: or the attacks above prove nothing", async (t) => {
  const { lab, honest } = await bornWarden(t);
  const { nonce } = await honest.call("time.nonce", {});
  const aYearOn = Date.now() + 365 * 24 * HOUR_MS;
  const answer = hubTime(lab.hub.time, DEVICE, nonce, aYearOn);
  t.match(await honest.call("time.set", answer), { state: "synced" });
  const { clock } = await honest.call("status.read", {});
  t.ok(Math.abs(clock.nowMs - aYearOn) < HOUR_MS, "the board's clock was stepped by a year, the machine's was not");
  const attacker = await asCaptured(t, lab);
  await attacker.refused("time.set", answer, /time\.nonce-unknown/u);
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
    log.findLast(({ event }) => event === "time.refused"),
    { result: "refused", detail: { code: "time.nonce-unknown" } },
  );
});
