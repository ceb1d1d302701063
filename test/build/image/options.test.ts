// The command line of `npm run image`, and the two places that document it.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { readOptions, USAGE } from "../../../build/image/options.ts";
import { PROJECT } from "../../lab/runner/sources.ts";

const FOLDERS = ["--files", "given", "--out", "made"];
const DEFAULTS = {
  files: "given",
  out: "made",
  "parts-only": false,
  usb: "0",
  "esp-mib": 256,
  "slot-mib": 192,
  "data-mib": 128,
  level: 15,
  "watchdog-s": 180,
  json: false,
};

test("every option has its default and its value", async (t) => {
  t.same(readOptions(FOLDERS), DEFAULTS);
  const sizes = ["--esp-mib", "64", "--slot-mib", "100", "--data-mib", "32", "--level", "1", "--watchdog-s", "600"];
  t.same(readOptions([...FOLDERS, "--parts-only", "--log-to", "ttyS1", "--usb", "2", ...sizes, "--json"]), {
    files: "given",
    out: "made",
    "parts-only": true,
    "log-to": "ttyS1",
    usb: "2",
    "esp-mib": 64,
    "slot-mib": 100,
    "data-mib": 32,
    level: 1,
    "watchdog-s": 600,
    json: true,
  });
  for (const args of [["--help"], ["-h"], ["--json", "--help"]]) t.equal(readOptions(args), "help");
});

test("--help and docs/flashing.md name every option, with its default", async (t) => {
  const table = (await readFile(join(PROJECT, "docs/flashing.md"), "utf8"))
    .split("\n")
    .filter((line) => line.startsWith("| `--"));
  for (const name of [...Object.keys(DEFAULTS), "log-to", "help"]) {
    t.ok(USAGE.includes(`  --${name} `) || USAGE.includes(` --${name} `), `--help names ${name}`);
    t.ok(
      table.some((line) => line.startsWith(`| \`--${name}`)),
      `the table has ${name}`,
    );
  }
  for (const name of ["esp-mib", "slot-mib", "data-mib", "level", "watchdog-s"] as const)
    t.ok(
      table.some((line) => line.startsWith(`| \`--${name} N\` | ${DEFAULTS[name]} |`)),
      `and its default`,
    );
});

test("an unknown option is refused", async (t) => {
  for (const args of [
    ["--quick"],
    ["more"],
    ["--files"],
    ["--json=yes"],
    ["--usb", "1"],
    ["--level", "0x3"],
    ["--log-to", "../x"],
  ])
    t.throws(() => readOptions([...FOLDERS, ...args]), { code: "usage.invalid" }, args.join(" "));
});
