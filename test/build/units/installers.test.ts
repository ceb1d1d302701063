// Installers take turns: the next may be asked for while one that was called off is still ending.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { test } from "tap";
import { needs } from "../../lab/runner/needs.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";
import { INSTALLER_OPTIONS } from "../../../warden/install/index.ts";
import { settingsOf } from "../../lab/runner/units.ts";

/** What systemd would run, with another lock, program and patience. */
function command(lock: string, patience: string, ...program: readonly string[]): readonly [string, readonly string[]] {
  const line = /^ExecStart=(.+)$/mu.exec(settingsOf("sallyport-install@.service"))?.[1]?.split(" ") ?? [];
  const [flock = "", ...words] = line.slice(0, line.indexOf("/usr/lib/sallyport/node"));
  return [flock, [...words.map((word) => (word === "/boot/EFI/Linux" ? lock : word.replace(/^\d+$/u, patience))), ...program]];
}

test("[OTA-33] a second installer waits for the first to end, and no longer than it may", { skip: needs("flock") }, async (t) => {
  const lock = await temporaryDirectory(t);
  const first = spawn(...command(lock, "5", "sh", "-c", "echo runs; exec cat"), { stdio: ["pipe", "pipe", "ignore"] });
  t.teardown(() => first.kill("SIGKILL"));
  await once(first.stdout, "data");
  t.not(spawnSync(...command(lock, "0", "true")).status, 0, "while the first runs");
  const second = spawn(...command(lock, "600", "echo", "runs too"), { stdio: ["ignore", "pipe", "ignore"] });
  t.teardown(() => second.kill("SIGKILL"));
  const said = once(second.stdout, "data");
  first.stdin.end(); // called off: its input is over
  t.match(String(await said), "runs too");
  t.equal(first.exitCode ?? (await once(first, "exit"))[0], 0);
});

test("[OTA-33] a connection is not refused because of one installer that is still ending", async (t) => {
  const [, most] = /^MaxConnections=(\d+)$/mu.exec(settingsOf("sallyport-install.socket")) ?? [];
  t.ok(Number(most) > 1);
});

test("an installer has the same bounds of memory as where the warden starts it", async (t) => {
  const line = /^ExecStart=(.+)$/mu.exec(settingsOf("sallyport-install@.service"))?.[1] ?? "";
  t.match(line, ` /usr/lib/sallyport/node ${INSTALLER_OPTIONS.join(" ")} /usr/`);
});
