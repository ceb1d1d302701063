// The table of verbs against a running warden: what a row says about changes and limiters must be
// true.
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { WARDEN_VERBS, type VerbLimiter, type WardenArgs, type WardenVerb } from "../../../warden/protocol/format.ts";
import { APPENDED_BYTES_BURST_MAX, APPENDED_RECORD_BYTES } from "../../../warden/protocol/limits.ts";
import { REQUESTS_BURST_MAX } from "../../../warden/targets/limits.ts";
import { policyBytes } from "../../lab/worlds/lockdown.ts";
import { labWarden } from "../../lab/worlds/warden.ts";
import { type HostilePeer, hostilePeer } from "../../lab/worlds/warden-socket.ts";

const POLICY = Buffer.from(policyBytes()).toString("base64");

type ReadingVerb = {
  [V in WardenVerb]: (typeof WARDEN_VERBS)[V]["changes"] extends "nothing" ? V : never;
}[WardenVerb];

/**
 * Arguments that are served. A new row with `changes: "nothing"` does not compile until it is here.
 */
const READS: { readonly [V in ReadingVerb]: WardenArgs<V> } = {
  "identity.read": {},
  "key.offer": { protection: "tpm" },
  "audit.read": { from: 0, count: 1 },
  "audit.checkpoint": { oldSize: 0 },
  "status.read": {},
  "tpm.read": {},
  "time.nonce": {},
  "lockdown.read": {},
  "lockdown.preview": { policy: POLICY },
  "lockdown.enforced": { of: "now" },
  "order.nonce": { verb: "system.reboot" },
  "order.signer": { keyid: "ab".repeat(32) },
  "tpm.escrow": {},
  "reset.plan": {},
  "update.read": {},
};

const BIRTH = { protection: "file", keyFingerprint: `sha256:${"ab".repeat(32)}` } as const;

async function greeted(socket: string): Promise<HostilePeer> {
  const peer = await hostilePeer(socket);
  await peer.hello();
  return peer;
}

/** The SHA-256 of each file by its path. */
type Files = ReadonlyMap<string, string>;

async function filesBelow(folder: string): Promise<Files> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return new Map(
    await Promise.all(
      files.map(
        async (file) =>
          [
            file,
            createHash("sha256")
              .update(await readFile(file))
              .digest("hex"),
          ] as const,
      ),
    ),
  );
}

test("[OPS-2] every verb that changes something passes a limiter of its own, besides the request rate", async (t) => {
  for (const [verb, { changes, limiter }] of Object.entries(WARDEN_VERBS))
    if (changes !== "nothing") t.not(limiter, "requests", verb);
});

test("[OPS-2] a verb whose row says that it changes nothing leaves every file of the warden as it was", async (t) => {
  const lab = await labWarden(t);
  await lab.start();
  const peer = await greeted(lab.socket);
  await peer.ask("birth.record", BIRTH);
  const log = (): Promise<Files> => filesBelow(lab.board.wardenState);
  const others = async (): Promise<object> => ({
    birth: await filesBelow(lab.board.birth),
    bootChoice: await readFile(lab.board.slots.bootChoice, "utf8"),
  });
  const state = async (): Promise<object> => ({ log: await log(), others: await others() });
  const before = await state();
  for (const [verb, args] of Object.entries(READS)) {
    t.match(await peer.ask(verb, args), { result: {} }, `"${verb}" is served`);
    t.same(await state(), before, `"${verb}" changed nothing`);
  }
  t.match(await peer.ask("birth.record", BIRTH), { result: BIRTH });
  t.same(await state(), before, `"birth.record" changes something once`);
  const [logBefore, othersBefore] = [await log(), await others()];
  await peer.ask("audit.append", { event: "agent.started", result: "ok" });
  t.notSame(await log(), logBefore, `"audit.append" changes the log`);
  t.same(await others(), othersBefore, "and nothing else");
  peer.end();
});

interface Flood {
  readonly limiter: VerbLimiter;
  readonly args: unknown;
  /**
   * Calls that the limiter lets pass at once, at most. A slow machine lets a few more become due
   * meanwhile.
   */
  readonly callsMax: number;
}

const ENTRY = { event: "agent.started", result: "ok", detail: { text: "x".repeat(512) } } as const;

/**
 * The limiters that answer with a fault. The others displace, or refuse what is not signed: their
 * own tests show that.
 */
const FLOODS: { readonly [V in WardenVerb]?: Flood } = {
  "audit.append": {
    limiter: "appended-bytes",
    args: ENTRY,
    callsMax: (1.5 * APPENDED_BYTES_BURST_MAX) / (APPENDED_RECORD_BYTES + JSON.stringify(ENTRY).length),
  },
  "lockdown.preview": { limiter: "plans", args: { policy: POLICY }, callsMax: 32 },
  "trust.refresh": { limiter: "target-requests", args: { absent: [] }, callsMax: 1.5 * REQUESTS_BURST_MAX },
};

test("[OPS-2] [AUD-11] a flood of a verb runs into the limiter that its row names", async (t) => {
  const lab = await labWarden(t);
  await lab.start();
  const peer = await greeted(lab.socket);
  for (const [verb, { limiter, args, callsMax }] of Object.entries(FLOODS)) {
    t.match(WARDEN_VERBS, { [verb]: { limiter } }, `the row of "${verb}" names ${limiter}`);
    let calls = 0;
    let answer = "";
    while (!answer.includes("protocol.rate-limited") && calls <= callsMax) {
      answer = JSON.stringify(await peer.ask(verb, args));
      calls += 1;
    }
    t.match(answer, /protocol\.rate-limited/u, `"${verb}" is refused after ${calls} calls`);
  }
  peer.end();
});
