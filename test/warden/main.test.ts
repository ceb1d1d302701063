// The program as a person or systemd starts it: its messages and exit codes.
import { writeFileSync } from "node:fs";
import { readdir, rm, writeFile } from "node:fs/promises";
import { test, type Test } from "tap";
import { startProgram } from "../lab/runner/process.ts";
import { labWarden, outcomeOf, WARDEN_MAIN } from "../lab/worlds/warden.ts";

async function run(t: Test, ...args: readonly string[]): Promise<{ readonly code: number | null; readonly text: string }> {
  const program = startProgram({ name: "warden", command: process.execPath, args: [WARDEN_MAIN, ...args] });
  t.teardown(() => program.stop("SIGKILL"));
  return await outcomeOf(program);
}

test("--check-config prints the settings with code 0, or every fault with code 78, and does not touch the machine", async (t) => {
  const lab = await labWarden(t);
  t.match(await run(t, "--config", lab.configFile, "--check-config"), { code: 0, text: /is valid.*"setClock":false/u });
  t.same(await readdir(lab.board.wardenState), [], "no state was created");
  await writeFile(lab.configFile, '{"socket":"relative","colour":"red","audit":{"bytesMax":1}}');
  const { code, text } = await run(t, "--config", lab.configFile, "--check-config");
  t.equal(code, 78);
  for (const what of ["config.invalid", "socket", "colour", "audit.bytesMax"]) t.match(text, what);
});

test("a configuration that is missing, not a file, or writable by others ends with code 78", async (t) => {
  const lab = await labWarden(t);
  t.match(await run(t, "--config", "/nonexistent/warden.json"), { code: 78, text: /config\.unreadable.*no such file/u });
  t.match(await run(t, "--config", lab.board.etc), { code: 78, text: /config\.unreadable/u });
  await rm(lab.configFile);
  writeFileSync(lab.configFile, "{}", { mode: 0o666 });
  const before = process.umask(0);
  await rm(lab.configFile);
  writeFileSync(lab.configFile, "{}", { mode: 0o666 });
  process.umask(before);
  t.match(await run(t, "--config", lab.configFile), { code: 78, text: /another user may write it/u });
});
