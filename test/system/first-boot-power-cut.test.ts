// The power of a whole board fails in its first boot, chip and programs at once: it comes back as
// one device with one key, and nothing is left over. [ID-6] [ID-50] [AUD-10]
import { type Test, test } from "tap";
import { needs } from "../lab/runner/needs.ts";
import { isLongRun } from "../lab/runner/long-run.ts";
import { type Moment, PowerCutBoard, type Remains } from "../lab/worlds/power-cut-board.ts";
import { birthOf, keysAtHub, untilStatus, verifiedTrail } from "../lab/worlds/probes.ts";

const SKIP = needs("bundles", "swtpm", "tpm2-provider", "openssl");
const idOf = (n: number): string => `SPG2-${String(n).padStart(8, "0")}`;

/** Storage root, endorsement key and the warden's counter, in the warden's hands. */
const IN_ORDER = {
  persistent: [0x8100_0001, 0x8101_0001],
  indices: [0x0180_5a11],
  failures: 0,
  isLockedOut: false,
  ownership: { hasOwnerPassword: true, hasEndorsementPassword: true, hasLockoutPassword: true, isClearForbidden: true },
};

/** Parts of files and what was set aside begin with a dot or have it in their name. */
const LEFT_OVER = /\/\.(?!lock$)|aside/u;

/** Boots a board to its end and checks that it is one device. @returns what it leaves. */
async function finish(t: Test, board: PowerCutBoard, id: string, what: string): Promise<Remains> {
  const { rig } = board;
  const programs = await board.on();
  // The hub's journal merges the lines of many requests, so the agent tells when to look.
  await programs.agent.line(/enrolment waits .*enrol\.pending/u);
  const [key = ""] = await keysAtHub(rig, id);
  await rig.hub.command("devices", "approve", id, key);
  await programs.agent.line(/life .* -> connected/u);
  const status = await untilStatus(rig, "a status", () => true);
  t.match(status, { life: "connected", key: { protection: "tpm", fingerprint: key } }, what);
  t.match(await birthOf(rig), { protection: "tpm", keyFingerprint: key }, what);
  t.same(await keysAtHub(rig, id), [key], `${what}: one key asked the hub`);
  const trail = await verifiedTrail(rig, id, ["tpm.owned", "birth.recorded", "enrolment.completed", "tunnel.connected"]);
  const times = (event: string): number => trail.filter((record) => record.event === event).length;
  t.equal(times("birth.recorded"), 1, `${what}: one birth`);
  t.equal(times("tpm.owner-changed"), 0, `${what}: the warden's passwords are the chip's`);
  t.equal(times("audit.tampered"), 0, `${what}: a cut is not taken for tampering`);
  await board.shutDown(programs);
  return await board.remains();
}

/** The worst of each kind: a password that is set and not yet noted, and two files. */
const QUICK: readonly Moment[] = [
  { command: 7, of: "changing", when: "after" },
  { in: "agentState", writes: "device-key" },
  { in: "birth", writes: "birth" },
];

const STEPS: readonly Moment[] = [
  ...QUICK,
  { in: "wardenState", writes: "tpm" },
  { in: "wardenState", writes: "audit-key" },
  { by: "warden", says: /listening/u },
  { by: "agent", says: /started/u },
  { by: "agent", says: /life blank -> keyed/u },
  { in: "agentState", writes: "request" },
  { by: "agent", says: /life keyed -> requested/u },
];

/** A first boot has some two hundred commands, most of which only look. */
const STRIDE = 12;

/** Moments in rising order, until a boot comes to its end without the next one. */
function* commands(): Iterable<Moment> {
  for (let command = 1; ; command += 1) for (const when of ["before", "after"] as const) yield { command, of: "changing", when };
}

function* someCommands(): Iterable<Moment> {
  for (let command = 1; ; command += STRIDE) yield { command, of: "all", when: "before" };
}

/** Cuts boots at `moments`, each with another board. @returns how many there were. */
async function cutEach(t: Test, board: PowerCutBoard, moments: Iterable<Moment>, first: number): Promise<number> {
  let cuts = 0;
  for (const moment of moments) {
    const [id, what] = [idOf(first + cuts), JSON.stringify(moment, asText)];
    await board.replace(id);
    const isCut = await board.cutAt(moment);
    const { files, ...chip } = await finish(t, board, id, what);
    t.same(chip, IN_ORDER, `${what}: nothing is left over in the chip`);
    t.same(
      files.filter((name) => LEFT_OVER.test(name)),
      [],
      `${what}: nor in the files`,
    );
    t.same(
      files.filter((name) => name.includes("device-key")),
      ["agent/device-key.tss2.pem"],
      `${what}: one key`,
    );
    if (!isCut) break;
    cuts += 1;
  }
  return cuts;
}

test(
  "[ID-6] [ID-50] [AUD-10] power cuts in the first boot leave one device, one key, and a chip in order",
  { skip: SKIP },
  async (t) => {
    const board = await PowerCutBoard.build(t);
    await board.rig.startHub();
    const all = isLongRun() ? STEPS : QUICK;
    t.equal(await cutEach(t, board, all, 0), all.length, "each moment came");
    if (!isLongRun()) return;
    t.ok((await cutEach(t, board, commands(), 100)) >= 16, "the warden's commands that take the chip");
    t.ok((await cutEach(t, board, someCommands(), 200)) >= 5);
  },
);

function asText(_name: string, value: unknown): unknown {
  return value instanceof RegExp ? value.source : value;
}
