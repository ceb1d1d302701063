// A clock for a board's programs, made by libfaketime. It reads what it is set to, and date(1)
// really steps it for all of them at once. This machine's clock is never touched: for the board's
// warden date(1) is a script (a bind mount in a mount namespace of its own).
import { existsSync } from "node:fs";
import { chmod, copyFile, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { assert } from "../../../hal/fault.ts";

export interface MachineClock {
  /** The environment of every program that runs by this clock. */
  readonly env: Readonly<Record<string, string>>;
  /** Words before the command of the program that may set the clock. Needs root. */
  readonly settable: readonly string[];
  nowMs(): Promise<number>;
  /** As another program steps the clock, forward positive. */
  step(byMs: number): Promise<void>;
  remove(): Promise<void>;
}

/** @param startMs the time that it reads now, Unix milliseconds. */
export async function fakeMachineClock(startMs: number): Promise<MachineClock> {
  const library = ["x86_64-linux-gnu", "aarch64-linux-gnu"]
    .map((triplet) => `/usr/lib/${triplet}/faketime/libfaketime.so.1`)
    .find((path) => existsSync(path));
  assert(library !== undefined, "faketime brings libfaketime");
  const directory = await mkdtemp(join(tmpdir(), "machine-clock-"));
  await chmod(directory, 0o755);
  // Seconds ahead of the real clock: an absolute time would start again in every process.
  const offsetFile = join(directory, "offset");
  const write = async (offsetS: number): Promise<void> => {
    await writeFile(`${offsetFile}.new`, `${offsetS < 0 ? "" : "+"}${offsetS.toFixed(3)}\n`, { mode: 0o644 });
    await rename(`${offsetFile}.new`, offsetFile);
  };
  await write((startMs - Date.now()) / 1000);
  const realDate = join(directory, "date");
  await copyFile("/usr/bin/date", realDate);
  await chmod(realDate, 0o755);
  const script = join(directory, "set-date");
  await writeFile(script, SET_DATE.replaceAll("DATE", realDate).replaceAll("OFFSET", offsetFile), { mode: 0o755 });
  return {
    env: {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: offsetFile,
      FAKETIME_NO_CACHE: "1",
      DONT_FAKE_MONOTONIC: "1",
      NO_FAKE_STAT: "1",
    },
    settable: ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /usr/bin/date && exec "$@"', script],
    nowMs: async () => Date.now() + Number(await readFile(offsetFile, "utf8")) * 1000,
    step: async (byMs) => write((Number(await readFile(offsetFile, "utf8")) * 1000 + byMs) / 1000),
    async remove() {
      await rm(directory, { recursive: true, force: true });
      await sweep();
    },
  };
}

/** libfaketime leaves its shared memory behind when a process replaced itself or was killed. */
async function sweep(): Promise<void> {
  for (const name of await readdir("/dev/shm")) {
    const pid = /^(?:sem\.)?faketime_(?:shm|sem)_(\d+)$/u.exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) await rm(join("/dev/shm", name), { force: true });
  }
}

/** Accepts what hal/linux/clock passes to date(1), and nothing else. */
const SET_DATE = `#!/bin/sh
[ "$1" = --utc ] || exit 2
case "$2" in --set=@*) ;; *) exit 2 ;; esac
now=$(DATE +%s.%N)
awk "BEGIN { printf \\"%+.3f\\n\\", \${2#--set=@} - $now }" > OFFSET.new && chmod 644 OFFSET.new && mv OFFSET.new OFFSET
`;
