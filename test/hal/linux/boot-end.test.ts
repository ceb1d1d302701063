// What outlives a boot tells how it ended: the note of the trial's timer, the watchdog's record.
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { linuxBootEnd } from "../../../hal/linux/index.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";

test("[OTA-70] the timer's note counts for its slot, and is forgotten before the next trial", async (t) => {
  const root = await temporaryDirectory(t);
  const directory = join(root, "boot/sallyport");
  const end = linuxBootEnd({ root, directory });
  t.equal(await end.told("b"), undefined, "without the directory");
  await end.forget();
  await mkdir(directory, { recursive: true });
  const note = join(directory, "trial-ended");
  await writeFile(note, "timer b\n");
  t.equal(await end.told("b"), "timer");
  t.equal(await end.told("a"), undefined);
  for (const text of ["", "timer", "timer bb\n", "power b\n", "timer b\n".padStart(200), "\0".repeat(8)]) {
    await writeFile(note, text);
    t.equal(await end.told("b"), undefined, JSON.stringify(text));
  }
  await writeFile(note, "timer b\n");
  await end.forget();
  t.equal(await end.told("b"), undefined);
  await mkdir(note);
  t.equal(await end.told("b"), undefined, "something else in its place tells nothing");
  await t.rejects(end.forget(), { code: "file.write-failed" });
});

test("[OTA-71] a watchdog that has reset the machine says so, by one bit of its status; one that does not record it says nothing", async (t) => {
  const root = await temporaryDirectory(t);
  const class_ = join(root, "sys/class/watchdog");
  const end = linuxBootEnd({ root, directory: join(root, "boot/sallyport") });
  const statusOf = async (name: string, status: string): Promise<void> => {
    await mkdir(join(class_, name), { recursive: true });
    await writeFile(join(class_, name, "bootstatus"), status);
  };
  for (const [status, told] of [
    ["0\n", undefined],
    ["32\n", "watchdog"],
    ["33\n", "watchdog"],
    ["1\n", undefined],
    ["", undefined],
    ["nothing\n", undefined],
    ["-1\n", "watchdog"],
  ] as const) {
    await statusOf("watchdog0", status);
    t.equal(await end.told("b"), told, status);
  }
  await statusOf("watchdog0", "0\n");
  await statusOf("watchdog1", "32\n");
  t.equal(await end.told("b"), "watchdog", "one of two");
  await mkdir(join(root, "boot/sallyport"), { recursive: true });
  await writeFile(join(root, "boot/sallyport/trial-ended"), "timer b\n");
  t.equal(await end.told("b"), "timer", "the timer restarted the machine, and a reboot that hung was ended by the watchdog");
  await rm(join(class_, "watchdog1/bootstatus"));
  await rm(join(root, "boot/sallyport/trial-ended"));
  t.equal(await end.told("b"), undefined);
});
