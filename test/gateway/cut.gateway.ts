// The control for every test that cuts a gateway's power: a real kernel, file system and Node write as our programs do, the power goes right after a write was
// reported done, and it must be there. With one fsync taken out of our code it must not: otherwise the cut proves nothing.
import { test } from "tap";
import { type Loss, makeGateway } from "../lab/gateway/index.ts";
import { probeImage } from "../lab/gateway/probe/image.ts";
import { needs } from "../lab/needs.ts";

const BOOT_MS_MAX = 180_000;
const STEP_MS_MAX = 90_000;
const WRITES = 25;

interface Case {
  readonly title: string;
  readonly how: string;
  readonly loss: Loss;
  readonly survives: boolean;
}

const CASES: readonly Case[] = [
  { title: "[STA-1] what was reported written is there after a cut", how: "", loss: { kind: "drop" }, survives: true },
  { title: "[STA-1] and after one that tears what was not flushed", how: "", loss: { kind: "tear", seed: 1 }, survives: true },
  {
    title: "control: lost without the directory's fsync",
    how: "without-directory-sync",
    loss: { kind: "drop" },
    survives: false,
  },
  { title: "control: lost without the file's fsync", how: "without-file-sync", loss: { kind: "drop" }, survives: false },
];

test("a power cut in a whole machine", { skip: needs("qemu", "image"), timeout: 900_000 }, async (t) => {
  const gateway = await makeGateway({ image: await probeImage(), tpm: false, processors: 1 });
  t.teardown(() => gateway.stop());
  const boot = async (): Promise<void> => {
    await gateway.powerOn();
    await gateway.waitFor(/probe ready/u, BOOT_MS_MAX);
  };

  await boot();
  for (const [index, { title, how, loss, survives }] of CASES.entries()) {
    const from = (index + 1) * 1000; // above what an earlier case left
    // the good code goes on writing, so that the cut falls into a write; the spoiled ones stop, so that no later fsync makes up for what they left out
    const to = from + (survives ? 900 : WRITES);
    gateway.type(`durable put ${from} ${to} ${how}\n`);
    await gateway.waitFor(new RegExp(`put ${from + WRITES}\\.`, "u"), STEP_MS_MAX);
    await gateway.cut(loss);
    await boot();
    gateway.type("durable get\n");
    const [words, number] = await gateway.waitFor(/got (\d+|none) (?:whole|broken.*)/u, STEP_MS_MAX);
    await gateway.waitFor(/probe ready/u, STEP_MS_MAX);
    const found = Number(number) >= from + WRITES && words.endsWith("whole");
    t.equal(found, survives, `${title}: wrote up to ${from + WRITES}, ${words}`);
  }
});
