// The audit trail: what the hub holds, and what happens when somebody edits the log on the device.
import { cpSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Fault } from "../../hal/fault.ts";
import { canonicalJson } from "../../hal/format/json.ts";
import { type AuditRecord, decodeAuditRecord } from "../../warden/audit/format/index.ts";
import { encodeFrame, FRAME_HEAD_BYTES, readFrames } from "../../warden/audit/format/frame.ts";
import { BAD_STICK_SOCKET } from "./published.ts";
import { eventually } from "../lab/runner/process.ts";
import { type HubDevice, hubDevices, hubRecords } from "../lab/worlds/hub-cli-json.ts";
import type { StepReport } from "./narrate.ts";
import { must } from "./proof.ts";
import type { World } from "./world.ts";

interface Chapter {
  readonly what: string;
  readonly told: (record: AuditRecord) => boolean;
  /** Only where the board has a serial line. */
  readonly onCable?: boolean;
}

/** Records are collected for some seconds before they go to the hub. */
const TRAIL_MS_MAX = 20_000;
const LOOK_EVERY_MS = 300;

/** The records that must be in the trail when all earlier steps happened. */
const CHAPTERS: readonly Chapter[] = [
  { what: "the key", told: ({ event }) => event === "key.created" },
  { what: "the certificate", told: ({ event }) => event === "enrolment.completed" },
  { what: "the tunnel", told: ({ event }) => event === "tunnel.connected" },
  { what: "the policy's trial", told: ({ event }) => event === "lockdown.pending" },
  { what: "the policy's confirmation", told: ({ event }) => event === "lockdown.confirmed" },
  { what: "the stick that may work", told: ({ event }) => event === "usb.allowed" },
  {
    what: "the stick that may not",
    told: ({ event, detail }) => event === "usb.refused" && detail?.["port"] === BAD_STICK_SOCKET,
  },
  { what: "the policy for another device", told: ({ event }) => event === "target.refused" },
  { what: "release 2", told: ({ event }) => event === "update.committed" },
  { what: "release 3", told: ({ event }) => event === "update.failed" },
  { what: "release 4", told: ({ event }) => event === "update.rolled-back" },
  { what: "the key that was nobody's", told: ({ event }) => event === "login.refused", onCable: true },
  { what: "the technician's login", told: ({ event }) => event === "login.accepted", onCable: true },
  { what: "the reboots", told: ({ event }) => event === "system.rebooting" },
];

/** @returns the chapters that `records` do not contain. */
function missing(records: readonly AuditRecord[], hasCable: boolean): readonly string[] {
  return CHAPTERS.filter(({ told, onCable = false }) => (hasCable || !onCable) && !records.some(told)).map(({ what }) => what);
}

/** A record on one line. */
function line({ at, event, result, principal, source, detail = {} }: AuditRecord): string {
  const members = Object.entries(detail).map(([name, value]) => `${name}=${String(value)}`);
  return [at.slice(11, 19), event, result, `by ${principal ?? source}`, ...members].join(" ");
}

export async function verifyAtHub({ rig, cable }: World, id: string, report: StepReport): Promise<void> {
  const hasCable = cable !== undefined;
  const records = await eventually(
    "the last record at the hub",
    async () => {
      const held = (await hubRecords(rig.hub, id)).map(({ record }) => record);
      return missing(held, hasCable).length === 0 ? held : undefined;
    },
    TRAIL_MS_MAX,
    LOOK_EVERY_MS,
  ).catch(async (cause: unknown) => {
    const held = (await hubRecords(rig.hub, id)).map(({ record }) => record);
    const open = missing(held, hasCable);
    throw new Fault("process.failed", `the trail at the hub has no record of ${open.join(", ")}`, { cause });
  });
  report.evidence("audit verify", (await rig.hub.command("audit", "verify", id)).trim());
  const first = new Set(CHAPTERS.map(({ told }) => records.find(told)));
  report.evidence(
    "it contains",
    records
      .filter((record) => first.has(record))
      .map(line)
      .join("\n"),
  );
  report.result(`all ${CHAPTERS.length} milestones of this demo are in it, signed by the device and witnessed by the hub`);
}

/** Edits a copy: the device's own log stays whole. */
export async function flipByte({ rig }: World, device: HubDevice, report: StepReport): Promise<void> {
  const key = (await hubDevices(rig.hub)).find(({ id }) => id === device.id)?.auditKey;
  must(key !== undefined, "the hub knows the device's audit key from its certificate request");
  const copy = join(rig.directory, "copy");
  cpSync(rig.board.wardenState, copy, { recursive: true });
  const verify = (): { readonly code: number | null; readonly words: string } => {
    const { code, stdout, stderr } = rig.command("audit", "verify", copy, "--key", key);
    return { code, words: `${stdout}${stderr}`.trim().split("\n").slice(0, 2).join("\n") };
  };
  const whole = verify();
  must(whole.code === 0, `the untouched copy verifies: ${whole.words}`);
  report.evidence("untouched", whole.words);
  const target = findRecord(join(copy, "audit"), "enrolment.requested");
  edit(target, "as-is");
  const flipped = verify();
  must(
    flipped.code === 5 && flipped.words.includes(`entry ${target.seq}`),
    `the flipped byte is found at entry ${target.seq}: ${flipped.words}`,
  );
  report.evidence("one bit", `of byte ${target.offset} of ${target.file}, in entry ${target.seq}\n${flipped.words}`);
  edit(target, "with-checksum");
  const careful = verify();
  must(careful.code === 5, `the careful edit is found: ${careful.words}`);
  const differing = await differingEntry(rig, device.id, target);
  must(differing === target.seq, `the hub's records tell which entry was edited: ${differing}`);
  report.evidence(
    "checksum too",
    `corrected as well, as a careful attacker would do\n${careful.words}\ncompared with the hub's records: entry ${differing} differs`,
  );
  report.held(
    "audit log",
    `one flipped bit is found in entry ${target.seq}, with its checksum corrected as well`,
    "a flipped bit was found, also behind a corrected checksum",
  );
}

/** The first entry of the edited segment that differs from the hub's copy. */
async function differingEntry(rig: World["rig"], id: string, { directory, file }: Target): Promise<number | undefined> {
  const held = new Map((await hubRecords(rig.hub, id)).map(({ seq, record }) => [seq, canonicalJson(record)]));
  const bodies = readFrames(readFileSync(join(directory, file))).bodies.slice(1);
  const index = bodies.findIndex((body, seq) => held.has(seq) && held.get(seq) !== Buffer.from(body).toString("utf8"));
  return index < 0 ? undefined : index;
}

interface Target {
  readonly directory: string;
  readonly file: string;
  readonly seq: number;
  /** Of the byte that is flipped, in the file. */
  readonly offset: number;
  readonly frame: { readonly start: number; readonly length: number };
  readonly original: Uint8Array;
}

/** The first record of `event`. A segment's first frame is its header, its records follow. */
function findRecord(directory: string, event: string): Target {
  for (const file of readdirSync(directory)
    .filter((name) => name.startsWith("segment-"))
    .sort()) {
    const original = readFileSync(join(directory, file));
    const { bodies } = readFrames(original);
    const index = bodies.findIndex((body) => Buffer.from(body).includes(event));
    const body = bodies[index];
    if (body === undefined) continue;
    const start = bodies.slice(0, index).reduce((sum, before) => sum + FRAME_HEAD_BYTES + before.byteLength, 0);
    const offset = start + FRAME_HEAD_BYTES + Buffer.from(body).indexOf(event);
    const { seq } = decodeAuditRecord(body);
    return { directory, file, seq, offset, frame: { start, length: FRAME_HEAD_BYTES + body.byteLength }, original };
  }
  throw new Fault("process.failed", `no record of ${event} in the log`);
}

/**
 * Flips the lowest bit of the byte in the original file; `with-checksum` also writes the frame's
 * checksum anew.
 */
function edit({ directory, file, offset, frame, original }: Target, how: "as-is" | "with-checksum"): void {
  const bytes = Buffer.from(original);
  bytes.writeUInt8(bytes.readUInt8(offset) ^ 0x01, offset);
  if (how === "with-checksum") {
    const begins = bytes.readUInt32BE(frame.start) >= 0x8000_0000;
    bytes.set(encodeFrame(bytes.subarray(frame.start + FRAME_HEAD_BYTES, frame.start + frame.length), begins), frame.start);
  }
  writeFileSync(join(directory, file), bytes);
}
