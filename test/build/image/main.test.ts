// The messages of `npm run image`. test/gateway makes whole images.
import { spawnSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { needs } from "../../lab/runner/needs.ts";
import { PROJECT } from "../../lab/runner/sources.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";

const image = (...args: readonly string[]) =>
  spawnSync(
    "/usr/bin/env",
    ["-i", `PATH=${process.env["PATH"]}`, process.execPath, join(PROJECT, "build/image/main.ts"), ...args],
    {
      encoding: "utf8",
    },
  );

test("--help exits with 0", async (t) => {
  const { status, stdout, stderr } = image("--help");
  t.equal(status, 0);
  t.match(stdout, /^usage: npm run image/u);
  t.equal(stderr, "");
});

test("wrong options are reported with the usage, all at once", async (t) => {
  const unknown = image("--files", "x", "--out", "y", "--colour", "red");
  t.equal(unknown.status, 2);
  t.match(unknown.stderr, /--colour[\s\S]*usage: npm run image/u);
  const wrong = image("--files", "x", "--esp-mib", "8", "--data-mib", "999999", "--usb", "1");
  t.equal(wrong.status, 2);
  for (const word of ["out: name the directory", "esp-mib", "data-mib", "usb"]) t.match(wrong.stderr, word);
});

test("in an incomplete directory, the first missing file is reported", { skip: needs("root") }, async (t) => {
  const given = await temporaryDirectory(t);
  await writeFile(join(given, "hub.json"), "{}");
  const { status, stderr } = image("--files", given, "--out", join(given, "out"));
  t.equal(status, 2);
  t.match(stderr, /find "root\.json" in/u);
});
