// The installer alone, with a warden that sends nonsense or dies.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test, type Test } from "tap";
import { bundleFile } from "../../../build/bundle.ts";
import { installerCommand } from "../../../warden/install/index.ts";
import { twoSlots } from "../../lab/worlds/chunked.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";

interface Ended {
  readonly code: unknown;
  readonly said: string;
  readonly complained: string;
}

async function lab(
  t: Test,
): Promise<{ readonly program: string; readonly run: (input: string, args?: readonly string[]) => Promise<Ended> }> {
  const directory = await temporaryDirectory(t);
  const program = join(directory, "main.mjs");
  await bundleFile("warden/install/main.ts", program);
  await twoSlots(directory);
  const handover = join(directory, "handover");
  await mkdir(handover);
  await writeFile(join(handover, "garbage"), "x");
  const command = installerCommand(program, { root: directory, slots: join(directory, "slots"), handover });
  return {
    program,
    run: async (input, args = command.args) => {
      const child = spawn("/usr/bin/env", ["-i", process.execPath, ...args], { stdio: "pipe" });
      child.stdin.on("error", () => undefined);
      child.stdin.end(input);
      const [said, complained] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]);
      return { code: child.exitCode, said, complained };
    },
  };
}

const part = { part: "root", bytes: 10, index: { path: "os/root.caibx", bytes: 104, sha256: "0".repeat(64) } };
const line = (job: unknown): string => `${JSON.stringify(job)}\n`;

test("[OTA-41] the installer ends when the warden is gone, and refuses a malformed job", async (t) => {
  const { run } = await lab(t);
  const install = { do: "install", v: 1, slot: "b", parts: [part] };
  const cases: readonly (readonly [string, string, RegExp])[] = [
    ["the warden is gone", "", /update\.aborted/u],
    ["an incomplete line", '{"do":"install"', /update\.aborted/u],
    ["no JSON", "write slot a please\n", /json\.invalid/u],
    ["another first job", line({ do: "write", part: "root", from: 0, to: 1 }), /expected the job \\"install\\" first/u],
    ["a path of its own", line({ ...install, handover: "/etc" }), /protocol\.invalid/u],
    [
      "a path with two dots",
      line({ ...install, parts: [{ ...part, index: { ...part.index, path: "../x" } }] }),
      /protocol\.invalid/u,
    ],
    ["a missing index", line(install), /index\.invalid/u],
    ["a line without end", "x".repeat(40_000), /protocol\.too-large/u],
  ];
  const ended = await Promise.all(cases.map(([, input]) => run(input)));
  for (const [n, [name, , said]] of cases.entries()) {
    t.equal(ended[n]?.code, 1, name);
    t.match(ended[n]?.said, said, name);
    t.notMatch(ended[n]?.said, /"ready"/u, name);
  }
});

test("without its places the installer says what it needs", async (t) => {
  const { run, program } = await lab(t);
  for (const args of [[], ["--root", "/"], ["--slots", "a", "--handover", "b", "--root", "c", "--device", "/dev/sda"]])
    t.match(await run("", [program, ...args]), { code: 2, complained: /usage\.invalid/u }, args.join(" "));
});
