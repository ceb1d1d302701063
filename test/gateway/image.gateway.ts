// The image builder as a program: two runs at once, the same parts of a release from both, and
// output that a script can read.
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import * as v from "valibot";
import { digestFile } from "../../hal/linux/files/index.ts";
import { parseJson } from "../../hal/format/json.ts";
import { check } from "../../hal/format/schema.ts";
import { ensureGoldenImage } from "../lab/gateway/golden-image.ts";
import { needs } from "../lab/runner/needs.ts";
import { startProgram } from "../lab/runner/process.ts";
import { mountSmallDisk } from "../lab/counterparts/small-disk.ts";
import { PROJECT } from "../lab/runner/sources.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";

const BUILD_MS_MAX = 600_000;
const LINE_BYTES_MAX = 65_536;
const summarySchema = v.object({
  version: v.string(),
  rootHash: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/u)),
  kernel: v.string(),
  node: v.string(),
  files: v.array(v.object({ name: v.string(), bytes: v.number(), sha256: v.optional(v.string()) })),
});

function image(given: string, out: string, ...more: readonly string[]) {
  const args = [join(PROJECT, "build/image/main.ts"), "--files", given, "--out", out, "--level", "1", "--json", ...more];
  return startProgram({ name: "image", command: process.execPath, args });
}

test(
  "two simultaneous builds of the same files make the same parts of a release, and report them",
  { skip: needs("image") },
  async (t) => {
    const directory = await temporaryDirectory(t);
    const given = join((await ensureGoldenImage()).directory, "given");
    const outs = [join(directory, "one"), join(directory, "two")];
    const runs = outs.map((out) => image(given, out));
    const summaries = await Promise.all(
      runs.map(async (run) =>
        check(summarySchema, parseJson(await run.line(/^\{/u, BUILD_MS_MAX), LINE_BYTES_MAX, "summary"), "summary"),
      ),
    );
    for (const run of runs) t.equal((await run.ended).code, 0);
    const [one, two] = summaries;
    t.equal(one?.rootHash, two?.rootHash);
    for (const [n, out] of outs.entries()) {
      t.same(
        (await readdir(out)).sort(),
        ["disk.img", "kernel.efi", "packages.txt", "root.img"],
        "and no working files are left",
      );
      const said = new Map((summaries[n]?.files ?? []).map(({ name, sha256 }) => [name, sha256]));
      t.strictSame([...said.keys()], ["root.img", "kernel.efi", "disk.img"]);
      for (const name of ["root.img", "kernel.efi"])
        t.equal(said.get(name), (await digestFile(join(outs[0] ?? "", name)))?.sha256, `${name} of run ${n + 1}`);
    }
  },
);

test("a full disk is reported as one, with the space that is needed", { skip: needs("image", "mounts") }, async (t) => {
  const directory = await temporaryDirectory(t);
  const given = join((await ensureGoldenImage()).directory, "given");
  const out = join(directory, "out");
  await mkdir(out);
  const disk = mountSmallDisk(out, 16_384);
  t.teardown(() => disk.unmount());
  const run = image(given, out);
  t.match(await run.line(/^file\.no-space: /u, BUILD_MS_MAX), /the disk is full.*--out/u);
  t.equal((await run.ended).code, 1);
  t.same(await readdir(out), [], "nothing is left in its place");
});
