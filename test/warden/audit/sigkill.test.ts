// A real process that keeps the log on a real disk, killed repeatedly on the same log.
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { test } from "tap";
import { linuxAppendFiles, linuxFiles } from "../../../hal/linux/index.ts";
import { decodeVerifier, verifyTrail } from "../../../warden/audit/format/index.ts";
import { eventsOf, openOn } from "../../lab/worlds/audit.ts";
import { startProgram } from "../../lab/runner/process.ts";

const CHILD = fileURLToPath(new URL("../../lab/runner/audit-child.ts", import.meta.url));
const ROUNDS = 8;

test("[AUD-10] killed at any moment, start after start: no answered record is lost, every start is in the log, and nothing is reported as tampering", async (t) => {
  const directory = t.testdir();
  let answered = -1;
  for (let round = 0; round < ROUNDS; round++) {
    const child = startProgram({ name: "audit log", command: process.execPath, args: [CHILD, directory] });
    t.teardown(() => child.stop("SIGKILL"));
    await child.line(/^\d+$/);
    await setTimeout(20 + round * 13);
    await child.stop("SIGKILL");
    t.notOk(child.lines.some((line) => line.startsWith("tampered")));
    answered = Math.max(answered, ...child.lines.filter((line) => /^\d+$/.test(line)).map(Number));
  }
  await using files = await linuxAppendFiles(`${directory}/audit`);
  const log = await openOn({ files, state: await linuxFiles(`${directory}/state`) });
  t.equal(log.tampered, undefined);
  t.ok(log.head.size > answered, `${log.head.size} records, ${answered} answered last`);
  const events = await eventsOf(log);
  t.strictSame(
    events.map(({ seq }) => seq),
    Array.from({ length: log.head.size }, (_, seq) => seq),
  );
  t.equal(events.filter(({ event }) => event === "audit.started").length, ROUNDS + 1);
  const contents = new Map<string, Uint8Array>();
  for (const name of await files.list()) contents.set(name, (await files.read(name, 4_000_000)) ?? new Uint8Array());
  const trail = verifyTrail({
    files: { names: [...contents.keys()], read: (name) => contents.get(name) },
    auditKey: decodeVerifier(log.auditKey),
    checkpoints: [(await log.checkpoint(0)).checkpoint],
  });
  t.match(trail, { finding: undefined, size: log.head.size, vouched: log.head.size });
});
