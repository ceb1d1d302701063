// Commands of the release tool that run at once in one repository.
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Test, test } from "tap";
import * as v from "valibot";
import { lockDirectory } from "../../../hal/linux/files/index.ts";
import { startProgram } from "../../lab/runner/process.ts";
import { programFile } from "../../lab/runner/programs.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";

const MAIN = programFile("sallyport-release");
const FOR_ALL = ["--hardware", "any", "--audience", "everyone"];
const addedSchema = v.object({ custom: v.object({ counter: v.number() }) });
const draftsSchema = v.object({ drafts: v.array(v.object({ target: v.string() })) });
const metaSchema = v.object({ signed: v.object({ targets: v.record(v.string(), v.unknown()) }) });

async function workshop(t: Test) {
  const directory = await temporaryDirectory(t);
  const dir = join(directory, "release");
  const run = async (...args: readonly string[]) => {
    const program = startProgram({ name: args.join(" "), command: process.execPath, args: [MAIN, ...args] });
    const { code } = await program.ended;
    return { code, out: program.lines.join("\n") };
  };
  t.match(await run("init", dir), { code: 0 });
  const file = join(directory, "file.bin");
  await writeFile(file, "content");
  const add = (name: string) => run("add", dir, `app/${name}`, file, ...FOR_ALL, "--json");
  const drafts = async () => {
    const { out } = await run("drafts", dir, "--json");
    return v.parse(draftsSchema, JSON.parse(out)).drafts.map(({ target }) => target);
  };
  return { directory, dir, run, add, drafts };
}

test("[STA-41] drafts that are added at once are all there, and no counter is promised twice", async (t) => {
  const { dir, run, add, drafts } = await workshop(t);
  const names = ["a", "b", "c", "d", "e", "f"];
  const added = await Promise.all(names.map((name) => add(name)));
  t.same(
    added.map(({ code }) => code),
    names.map(() => 0),
  );
  const counters = added.map(({ out }) => v.parse(addedSchema, JSON.parse(out)).custom.counter);
  t.same(
    counters.toSorted((a, b) => a - b),
    [1, 2, 3, 4, 5, 6],
  );
  t.same(
    [...(await drafts())].sort(),
    names.map((name) => `app/${name}`),
  );
  const signed = await Promise.all([
    run("sign", dir),
    run("sign", dir),
    run("publish", dir, join(dir, "..", "www"), "--without-drafts"),
  ]);
  for (const { code, out } of signed) t.equal(code, 0, out);
});

test("[STA-41] a draft that is added while another command signs is signed, or still a draft", async (t) => {
  const { dir, run, add, drafts } = await workshop(t);
  for (let round = 1; round <= 3; round++) {
    t.match(await add(`early-${round}`), { code: 0 });
    const [sign, late] = await Promise.all([run("sign", dir), add(`late-${round}`)]);
    t.match([sign.code, late.code], [0, 0]);
    const version = 1 + [...sign.out.matchAll(/^app (\d+),/gmu)].length;
    t.ok(version > 1, "app was signed");
    const newest = /^app (\d+),/mu.exec(sign.out)?.[1] ?? "1";
    const metadata = v.parse(
      metaSchema,
      JSON.parse(readFileSync(join(dir, "repository/metadata", `${newest}.app.json`), "utf8")),
    );
    const isSigned = Object.hasOwn(metadata.signed.targets, `app/late-${round}`);
    t.equal(isSigned, !(await drafts()).includes(`app/late-${round}`), "it is in one of both");
  }
});

test("[STA-41] a command waits for the one that works there, and publishing into itself ends", async (t) => {
  const { dir, run, add } = await workshop(t);
  const held = lockDirectory(dir, ".lock", 0);
  t.throws(() => lockDirectory(dir, ".lock", 0), { code: "lock.held", message: /wait for its end/ });
  const waiting = add("a");
  held.release();
  t.match(await waiting, { code: 0 });
  await run("sign", dir);
  t.type((await run("publish", dir, dir)).code, "number");
  await symlink(dir, `${dir}-link`);
  t.type((await run("publish", dir, `${dir}-link`)).code, "number");
});

test("publishing to a place that is none ends with what is wrong", async (t) => {
  const { directory, dir, run } = await workshop(t);
  await run("sign", dir, "--role", "timestamp");
  await writeFile(join(directory, "file"), "");
  await mkdir(join(directory, "www"));
  for (const [to, message] of [
    ["/proc/x/y", /make the directory "\/proc\/x"/],
    [join(directory, "file"), /file/],
    ["/dev/null", /\/dev\/null/],
  ] as const)
    t.match(await run("publish", dir, to), { code: 1, out: message }, to);
  t.match(await run("publish", dir, join(directory, "www")), { code: 0 });
  t.match(await run("publish", join(directory, "none"), join(directory, "made")), { code: 1 });
  t.notOk(existsSync(join(directory, "made")), "nothing is made where there is nothing to publish");
});
