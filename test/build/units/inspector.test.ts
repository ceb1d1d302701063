// No program of ours opens Node's inspector, from its first instruction on.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { PROJECT } from "../../lab/runner/sources.ts";
import { settingsOf, unitNames } from "../../lab/runner/units.ts";

test("[OPS-34] every unit that starts Node turns SIGUSR1 off, before the program could", async (t) => {
  const starts = unitNames()
    .filter((name) => name.endsWith(".service"))
    .flatMap((name) => (settingsOf(name).match(/^Exec\w+=.*\/node .*$/gmu) ?? []).map((line) => ({ name, line })));
  t.equal(starts.length, 3, "agent, warden and installer");
  for (const { name, line } of starts) t.match(line, /\/usr\/lib\/sallyport\/node .*--disable-sigusr1 .*\/main\.js/u, name);
});

test("[OPS-34] the commands that a person starts by name turn SIGUSR1 off in their first line", async (t) => {
  for (const path of ["hub/main.ts", "build/release/main.ts"])
    t.match(await readFile(join(PROJECT, path), "utf8"), /^#!\/usr\/bin\/env -S node --disable-sigusr1\n/u, path);
  t.match(await readFile(join(PROJECT, "build/image/system.ts"), "utf8"), /node --disable-sigusr1 .*\/sallyport\/main\.js/u);
});
