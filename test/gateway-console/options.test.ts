// The command line of `npm run gateway`, and its messages where it cannot run.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "tap";
import { PROJECT } from "../lab/runner/sources.ts";
import { readOptions, USAGE } from "./options.ts";

const MAIN = join(PROJECT, "test/gateway-console/main.ts");

function run(
  args: readonly string[],
  uid?: number,
): { readonly status: number | null; readonly stdout: string; readonly stderr: string } {
  const words = ["-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", process.execPath, MAIN, ...args];
  return spawnSync("/usr/bin/env", words, { encoding: "utf8", ...(uid !== undefined && { uid, gid: uid }) });
}

test("defaults, and every option", async (t) => {
  t.same(readOptions([]), { approve: false, "no-tpm": false, serial: "GW-LAB-0001", help: false });
  t.same(readOptions(["--approve", "--no-tpm", "--serial", "GW-2.b", "--log", "kernel.txt", "--help"]), {
    approve: true,
    "no-tpm": true,
    serial: "GW-2.b",
    log: "kernel.txt",
    help: true,
  });
  for (const name of Object.keys(readOptions(["--log", "x"]))) t.ok(USAGE.includes(`--${name}`), name);
});

test("an unknown option is refused, and a serial number that QEMU would read as more options", async (t) => {
  for (const words of [["--quick"], ["more"], ["--serial"]])
    t.throws(() => readOptions(words), { code: "usage.invalid" }, words.join(" "));
  for (const words of [
    ["--serial", "a,uuid=b"],
    ["--serial", ""],
    ["--log", ""],
  ])
    t.throws(() => readOptions(words), { code: "schema.invalid" }, words.join(" "));
});

test("--help ends with 0, an unknown option with 2 and the usage", async (t) => {
  t.match(run(["--help"]), { status: 0, stdout: USAGE });
  const wrong = run(["--quick"]);
  t.match(wrong, { status: 2, stdout: "" });
  t.ok(wrong.stderr.includes("--quick") && wrong.stderr.includes(USAGE));
});

test("without root it says why it cannot run, and ends with 1", async (t) => {
  const other = process.getuid?.() === 0 ? 65_534 : undefined;
  if (other !== undefined && spawnSync("/usr/bin/test", ["-r", MAIN], { uid: other }).status !== 0) {
    t.pass("other users cannot read the checkout here");
    return;
  }
  const { status, stdout, stderr } = run([], other);
  t.match({ status, stdout, stderr }, { status: 1, stdout: "", stderr: /needs root/u });
});
