// Every image contains Debian's updates.
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { debianBase } from "../../../build/image/base.ts";
import { readSources, SUITES } from "../../../build/image/sources.ts";
import { needsBase } from "../../lab/runner/debian-base.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";

const skip = await needsBase();

test("the base's packages are the newest of the suite, its updates and its security updates", { skip }, async (t) => {
  const { policy } = await debianBase((line) => t.comment(line));
  const text = await readFile(policy, "utf8");
  const suites = [...text.matchAll(/^ {5}release .*\bn=([a-z-]+),/gmu)].map(([, name = ""]) => name);
  t.same(suites.sort(), [...SUITES].sort());
  const chosen = [...text.matchAll(/^ {2}Installed: (\S+)\n {2}Candidate: (\S+)$/gmu)];
  t.ok(chosen.length > 100, "control: there are packages");
  t.same(
    chosen.filter(([, installed, candidate]) => installed !== candidate).map(([lines]) => lines),
    [],
  );
});

test("without Debian's updates among the sources there is no image", async (t) => {
  const file = join(await temporaryDirectory(t), "debian13.sources");
  await t.rejects(readSources(file), { code: "usage.invalid", message: /first run, as root: sh build\/parts\.sh/u });
  const all = "Suites: trixie trixie-updates\n\nSuites: trixie-security\n";
  for (const [text, missing] of [
    [all.replace(" trixie-updates", ""), /find trixie-updates: /u],
    [all.replace("trixie-security", ""), /find trixie-security: .*\/etc\/apt.*parts\.sh/u],
    ["", /find trixie and trixie-updates and trixie-security: /u],
  ] as const) {
    await writeFile(file, text);
    await t.rejects(readSources(file), { code: "usage.invalid", message: missing });
  }
  await writeFile(file, all);
  t.equal(await readSources(file), all);
});
