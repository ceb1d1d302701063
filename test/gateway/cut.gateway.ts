// The control for every test that cuts a gateway's power. A real kernel, file system and Node write
// as our programs do, and the power goes after a write was reported done, while the next ones wait
// in the disk's cache: the write must be there. With one fsync removed from our durable-file helper
// it must not be there; otherwise the cut proves nothing.
//
// Its ext4 is mounted with noauto_da_alloc, a gateway's is not. By default ext4 writes a file's
// bytes before a rename that replaces another file (ext4(5), auto_da_alloc), which would hide a
// missing fsync. Our code must not rely on that, because other file systems do not do it.
import { test } from "tap";
import type { CutReport, Loss } from "../lab/gateway/disk.ts";
import { type Gateway, openGateway } from "../lab/gateway/gateway.ts";
import { probeImage } from "../lab/gateway/probe/image.ts";
import { needs } from "../lab/runner/needs.ts";

const BOOT_MS_MAX = 180_000;
const STEP_MS_MAX = 90_000;
const WRITES = 25;

/** The requests in the disk's cache when the power goes. */
const PENDING_WRITES_MIN = 2;

interface Case {
  readonly title: string;
  readonly how: string;
  readonly loss: Loss;
  readonly survives: boolean;
}

const CASES: readonly Case[] = [
  { title: "[STA-1] what was reported written is there after a cut", how: "", loss: { kind: "drop" }, survives: true },
  // Of the first two writes, this seed drops one and tears one.
  { title: "[STA-1] and after one that tears what was not flushed", how: "", loss: { kind: "tear", seed: 20 }, survives: true },
  {
    title: "control: lost without the directory's fsync",
    how: "without-directory-sync",
    loss: { kind: "drop" },
    survives: false,
  },
  { title: "control: lost without the file's fsync", how: "without-file-sync", loss: { kind: "drop" }, survives: false },
];

test("a power cut in a whole machine", { skip: needs("qemu", "image"), timeout: 900_000 }, async (t) => {
  const gateway = await openGateway({ image: await probeImage(), tpm: false, processors: 1 });
  t.teardown(() => gateway.stop());
  const boot = async (): Promise<void> => {
    await gateway.powerOn();
    await gateway.waitFor(/probe ready/u, BOOT_MS_MAX);
  };

  await boot();
  for (const [index, { title, how, loss, survives }] of CASES.entries()) {
    const from = (index + 1) * 1000; // Above what an earlier case left.
    // The correct code keeps writing, so that the cut falls into a write. The spoiled ones stop, so
    // that no later fsync makes up for the missing one.
    const to = from + (survives ? 900 : WRITES);
    gateway.type(`durable put ${from} ${to} ${how}\n`);
    await gateway.waitFor(new RegExp(`put ${from + WRITES}\\.`, "u"), STEP_MS_MAX);
    const report = await (survives ? cutAtFlush(gateway, loss) : gateway.cut(loss));
    await boot();
    const reported = Number(/[\s\S]*put (\d+)\./u.exec(gateway.transcript())?.[1]);
    gateway.type("durable get\n");
    const [words, number] = await gateway.waitFor(/got (\d+|none) (?:whole|broken.*)/u, STEP_MS_MAX);
    await gateway.waitFor(/probe ready/u, STEP_MS_MAX);
    const found = Number(number) >= reported && words.endsWith("whole");
    const lost = `of what was not flushed ${JSON.stringify(report)}`;
    t.equal(found, survives, `${title}: wrote up to ${reported}, ${words}; ${lost}`);
    // What the spoiled ones lose was never sent to the disk.
    if (survives) t.ok(report.dropped > 0, `control: a write was lost: ${lost}`);
    if (loss.kind === "tear") t.ok(report.torn > 0, `control: and one torn: ${lost}`);
  }

  // The machine is running already, so this is tested here too: what a gateway's initrd does to its
  // watchdog, after which nothing feeds it.
  const events = Promise.all([gateway.waitForEvent("WATCHDOG", STEP_MS_MAX), gateway.waitForEvent("RESET", STEP_MS_MAX)]);
  gateway.type("watchdog\n");
  const [barked] = await events;
  t.match(barked, { data: { action: "reset" } }, "a watchdog that was opened and abandoned expires");
  t.ok(await gateway.waitFor(/BdsDxe: starting/u, BOOT_MS_MAX), "and the machine restarts");
});

/** Cuts the power when the machine wants several writes flushed and none of them is flushed yet. */
function cutAtFlush(gateway: Gateway, loss: Loss): Promise<CutReport> {
  let pending = 0;
  return new Promise((resolve, reject) => {
    const unwatch = gateway.watchDisk(({ kind }) => {
      if (kind !== "flush") {
        pending += 1;
      } else if (pending < PENDING_WRITES_MIN) {
        pending = 0;
      } else {
        unwatch();
        gateway.cut(loss).then(resolve, reject);
      }
    });
  });
}
