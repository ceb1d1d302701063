// Installers run one at a time: the next can be started while a cancelled one is still ending.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { test } from "tap";
import { needs } from "../../lab/runner/needs.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";
import { INSTALLER_ENVIRONMENT, INSTALLER_OPTIONS } from "../../../warden/install/index.ts";
import { settingsOf, startOf } from "../../lab/runner/units.ts";

/** The command of the unit, with another lock, program and wait. */
function command(lock: string, waitS: string, ...program: readonly string[]): readonly [string, readonly string[]] {
  const line = /^ExecStart=(.+)$/mu.exec(settingsOf("sallyport-install@.service"))?.[1]?.split(" ") ?? [];
  const [flock = "", ...words] = line.slice(0, line.indexOf("/usr/lib/sallyport/node"));
  return [flock, [...words.map((word) => (word === "/boot/EFI/Linux" ? lock : word.replace(/^\d+$/u, waitS))), ...program]];
}

test("[OTA-33] a second installer waits for the first to end, for a limited time", { skip: needs("flock") }, async (t) => {
  const lock = await temporaryDirectory(t);
  const first = spawn(...command(lock, "5", "sh", "-c", "echo runs; exec cat"), { stdio: ["pipe", "pipe", "ignore"] });
  t.teardown(() => first.kill("SIGKILL"));
  await once(first.stdout, "data");
  t.not(spawnSync(...command(lock, "0", "true")).status, 0, "while the first one runs");
  const second = spawn(...command(lock, "600", "echo", "runs too"), { stdio: ["ignore", "pipe", "ignore"] });
  t.teardown(() => second.kill("SIGKILL"));
  const output = once(second.stdout, "data");
  first.stdin.end(); // called off: its input is over
  t.match(String(await output), "runs too");
  t.equal(first.exitCode ?? (await once(first, "exit"))[0], 0);
});

test("[OTA-33] a connection is not refused because one installer is still ending", async (t) => {
  const [, most] = /^MaxConnections=(\d+)$/mu.exec(settingsOf("sallyport-install.socket")) ?? [];
  t.ok(Number(most) > 1);
});

test("the unit starts an installer with the same memory bounds as the warden does", async (t) => {
  t.same(startOf("sallyport-install@.service"), { options: INSTALLER_OPTIONS, env: INSTALLER_ENVIRONMENT });
});
