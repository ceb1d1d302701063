// The lines of a service whose log cannot take them: counted, bounded, and said afterwards.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { constants } from "node:fs";
import { open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface, type Interface } from "node:readline";
import { fileURLToPath } from "node:url";
import { test, type Test } from "tap";
import { startPtyPair } from "../lab/counterparts/pty.ts";
import { needs } from "../lab/runner/needs.ts";
import { eventually } from "../lab/runner/process.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";

const CHILD = fileURLToPath(new URL("output-child.ts", import.meta.url));

/** The bound of a file's size stands for a disk. Reaching it gives an error, not a signal. */
const LIMITED = `trap '' XFSZ; exec prlimit --fsize=4000:unlimited -- "$@"`;

interface Service {
  readonly child: ChildProcess;
  /** Has it write so many lines, and waits until it has. @returns what it says then. */
  readonly write: (count: number) => Promise<string>;
}

function service(t: Test, stderr: "pipe" | number, before: readonly string[] = []): Service {
  // Without what tap adds, which would write files of its own, beyond the bound.
  const words = ["-i", "PATH=/usr/bin:/bin", ...before, process.execPath, CHILD];
  const child = spawn("/usr/bin/env", words, { stdio: ["pipe", "pipe", stderr] });
  t.teardown(() => child.kill("SIGKILL"));
  const answers = linesOf(child.stdout);
  return {
    child,
    write: async (count) => {
      child.stdin?.write(`${count}\n`);
      const { value } = await answers.next();
      return String(value);
    },
  };
}

function linesOf(stream: NodeJS.ReadableStream | null): ReturnType<Interface[typeof Symbol.asyncIterator]> {
  return createInterface({ input: stream ?? process.stdin })[Symbol.asyncIterator]();
}

const ended = (child: ChildProcess): Promise<unknown> =>
  new Promise((resolve) => {
    child.once("exit", resolve);
    child.stdin?.end();
  });

test("[OPS-32] a log that nobody reads takes no more memory than its bound, and says once it is read how many lines it lacks", async (t) => {
  const { child, write } = service(t, "pipe");
  const waiting = Number(/, (\d+) wait/u.exec(await write(5000))?.[1]);
  t.ok(waiting < 270_000, `${waiting} characters of 5,000,000 wait`);
  const lines = linesOf(child.stderr);
  const seen = { read: 0, lost: 0 };
  // Without a further line from the service.
  while (seen.read + seen.lost < 5000) {
    const line = String((await lines.next()).value);
    const lost = /^child: (\d+) lines? before this one could not be written: nobody read them$/u.exec(line)?.[1];
    if (lost === undefined) seen.read += 1;
    else seen.lost += Number(lost);
  }
  t.equal(seen.read + seen.lost, 5000, "every line is there or counted");
  t.ok(seen.lost > 0);
  t.equal(await write(1), "did 1, 0 wait");
  t.match((await lines.next()).value, /^child: x+$/u);
  t.equal(await ended(child), 0);
});

test("[OPS-32] a log whose reader has ended ends no service", async (t) => {
  const { child, write } = service(t, "pipe");
  child.stderr?.destroy();
  t.equal(await write(10), "did 10, 0 wait");
  t.equal(await write(10), "did 10, 0 wait");
  t.equal(await ended(child), 0);
});

test("[OPS-32] a log on a full disk says how many lines it lacks once there is room", { skip: needs("flock") }, async (t) => {
  const path = join(await temporaryDirectory(t), "log");
  await using file = await open(path, "a");
  const { child, write } = service(t, file.fd, ["sh", "-c", LIMITED, "sh"]);
  await write(20);
  t.ok((await readFile(path)).length <= 4000, "the file can hold no more");
  t.equal(spawnSync("/usr/bin/prlimit", ["--pid", String(child.pid), "--fsize=unlimited"]).status, 0);
  await write(1);
  const text = await eventually("the last line", async () => {
    const read = await readFile(path, "utf8");
    return /could not be written/u.test(read) ? read : undefined;
  });
  const whole = text.split("\n").filter((line) => /^child: x{1000}$/u.test(line)).length;
  const [, lost] = /\nchild: (\d+) lines before this one could not be written: EFBIG: .*\nchild: x+\n$/u.exec(text) ?? [];
  t.equal(whole + 1 + Number(lost), 21, "every line is there or counted, and one is there in part");
  t.equal(await ended(child), 0);
});

test("[OPS-32] a terminal that is stopped stops no service", { skip: needs("socat") }, async (t) => {
  const pty = await startPtyPair();
  t.teardown(pty.stop);
  await using terminal = await open(pty.devicePath, constants.O_RDWR | constants.O_NOCTTY);
  // Nobody reads the other end.
  const { write } = service(t, terminal.fd);
  const waiting = Number(/, (\d+) wait/u.exec(await write(1000))?.[1]);
  t.ok(waiting > 0 && waiting < 270_000, `${waiting} characters of 1,000,000 wait`);
});
