import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { test } from "tap";
import * as v from "valibot";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";
import { environment } from "../../lab/runner/process.ts";
import { programFile } from "../../lab/runner/programs.ts";

const MAIN = programFile("sallyport-release");
const BIN = fileURLToPath(new URL("../../../node_modules/.bin", import.meta.url));

async function release(
  ...args: readonly string[]
): Promise<{ readonly code: number; readonly out: string; readonly err: string }> {
  const command = ["-i", ...environment({ PATH: `${BIN}:/usr/bin:/bin` }), "node", MAIN, ...args];
  return await promisify(execFile)("/usr/bin/env", command)
    .then(({ stdout, stderr }) => ({ code: 0, out: stdout, err: stderr }))
    .catch((error: { code: number; stdout: string; stderr: string }) => ({
      code: error.code,
      out: error.stdout,
      err: error.stderr,
    }));
}

function filesBelow(directory: string): readonly string[] {
  const names = readdirSync(directory, { recursive: true, encoding: "utf8" });
  return names.filter((name) => statSync(join(directory, name)).isFile()).sort();
}

test("[OTA-14] [OTA-30] the program makes a published release from nothing", async (t) => {
  const directory = await temporaryDirectory(t);
  const dir = join(directory, "release");
  const to = join(directory, "www");
  const root = join(directory, "root.img");
  const kernel = join(directory, "kernel.img");
  writeFileSync(root, randomBytes(1_000_000));
  writeFileSync(kernel, Buffer.alloc(20_000, "kernel")); // random bytes may be cut into two chunks

  const made = await release("init", dir, "--json");
  t.equal(made.code, 0, made.err);
  t.match(JSON.parse(made.out), { root: join(dir, "repository/metadata/1.root.json"), keys: join(dir, "keys") });
  t.same(
    readdirSync(join(dir, "keys")).sort(),
    ["app", "hub", "operators", "os", "policy", "root", "snapshot", "targets", "timestamp"].map((role) => `${role}.pem`),
  );
  for (const name of readdirSync(join(dir, "keys"))) t.equal(statSync(join(dir, "keys", name)).mode & 0o777, 0o600, name);

  const added = await release(
    "add",
    dir,
    "os/gateway-2.json",
    "--part",
    `kernel=${kernel}`,
    "--part",
    `root=${root}`,
    "--hardware",
    "acme-gw-a",
    "--audience",
    "tenant=acme",
    "--audience",
    "group=north",
    "--json",
  );
  t.equal(added.code, 0, added.err);
  t.match(JSON.parse(added.out), {
    target: "os/gateway-2.json",
    parts: [
      { part: "root", imageBytes: 1_000_000 },
      { part: "kernel", imageBytes: 20_000, chunks: 1, added: 1 },
    ],
    custom: { line: "os", counter: 1, audience: { tenant: "acme", groups: ["north"] } },
  });

  const signed = await release("sign", dir);
  t.equal(signed.code, 0, signed.err);
  t.match(
    signed.out,
    /^os 2, until .*\n\s+os\/gateway-2\.json \(os 1\), for group north of tenant "acme"\nsnapshot 2, .*\ntimestamp 2, .*\nnext: copy .*release\/repository to the hub, without the keys, and run\s+there:\n  sallyport-hub release publish repository/u,
  );
  t.match((await release("sign", dir)).out, /nothing has changed/u);

  const published = await release("publish", dir, to, "--json");
  t.equal(published.code, 0, published.err);
  t.match(JSON.parse(published.out), { timestamp: 2 });
  t.same(readdirSync(join(to, "targets/os")).length, 1);
  t.same(readdirSync(join(to, "indexes")).sort(), readdirSync(join(dir, "repository/indexes")).sort());
  t.same(
    filesBelow(join(to, "chunks")),
    filesBelow(join(dir, "repository/chunks")),
    "what a device will download is published too",
  );
  t.notOk(readdirSync(to).includes("keys"), "no key is published");
  t.ok(readFileSync(join(to, "metadata/timestamp.json")).byteLength > 0);
});

function signedRoles(out: string) {
  const role = v.looseObject({ role: v.string(), targets: v.array(v.looseObject({})) });
  return v.parse(v.object({ signed: v.array(role) }), JSON.parse(out)).signed;
}

test("[OTA-26] drafts are listed, shown and removed; renewing the timestamp leaves them, and publishing refuses them", async (t) => {
  const directory = await temporaryDirectory(t);
  const [dir, file, to] = [join(directory, "release"), join(directory, "file"), join(directory, "www")];
  writeFileSync(file, "content");
  t.equal((await release("init", dir)).code, 0);
  t.match((await release("drafts", dir)).out, /there are no drafts/u);
  for (const [name, audience] of [
    ["app/a", "device=gw-1"],
    ["hub/b", "everyone"],
  ] as const)
    t.match((await release("add", dir, name, file, "--hardware", "any", "--audience", audience)).out, /added the draft/u);
  t.match(
    (await release("drafts", dir)).out,
    /app\/a \(app 1, 7 bytes\), for device gw-1\nhub\/b \(hub 1, 7 bytes\), for every device/u,
  );
  t.match(
    (await release("show", dir, "hub/b")).out,
    /hardware  any\ncontent   7 bytes, sha256:[0-9a-f]{64}\nfile\s+\/.*\/hub\//u,
  );
  t.match(await release("show", dir, "hub/c"), { code: 2, err: /there is no draft "hub\/c"/u });

  const renewed = await release("sign", dir, "--role", "timestamp", "--json");
  t.same(
    signedRoles(renewed.out).map(({ role }) => role),
    ["timestamp"],
    "nothing else was signed",
  );
  t.match(await release("publish", dir, to), { code: 1, err: /release\.refused: .*app\/a, hub\/b\s+are\s+drafts/su });
  t.match(await release("publish", dir, to, "--without-drafts"), { code: 0 });
  t.same(
    filesBelow(to).filter((name) => name.startsWith("targets/")),
    [],
    "no draft is published",
  );

  const shown = v.parse(v.looseObject({ file: v.string() }), JSON.parse((await release("show", dir, "app/a", "--json")).out));
  t.match(await release("remove", dir, "app/a"), { code: 0, out: /removed the draft app\/a/u });
  t.match(await release("remove", dir, "app/a"), { code: 2, err: /there is no draft/u });
  t.throws(() => readFileSync(shown.file), { code: "ENOENT" }, "its file is gone");
  const signed = await release("sign", dir, "--json");
  t.match(signedRoles(signed.out)[0], { role: "hub", targets: [{ target: "hub/b", reach: "every device" }] });
  t.match((await release("drafts", dir)).out, /there are no drafts/u);
  t.match(await release("publish", dir, to), { code: 0 });
});

test("[OTA-14] wrong usage exits with 2 and shows the usage; a failure exits with 1 and says what to do", async (t) => {
  const directory = await temporaryDirectory(t);
  const dir = join(directory, "release");
  mkdirSync(dir);
  const [unread, large] = [join(directory, "unread.json"), join(directory, "large.img")];
  const [twice, marked] = [join(directory, "twice.json"), join(directory, "marked.json")];
  writeFileSync(twice, '{"v":1,"mode":"shut","mode":"enforce"}');
  writeFileSync(marked, '\ufeff{"v":1}');
  writeFileSync(unread, '{"v":1}');
  writeFileSync(large, new Uint8Array(20_000));
  for (const [args, code, message] of [
    [[], 2, /no command was given[\s\S]*init DIR/u],
    [["bake", dir], 2, /no command "bake"/u],
    [["init"], 2, /init takes 1 argument, got 0/u],
    [["init", dir, "--nonsense"], 2, /nonsense/u],
    [["add", dir], 2, /add takes 2 or 3 arguments, got 1/u],
    [["add", dir, "app/a", "/dev/null"], 2, /needs --hardware/u],
    [["add", dir, "app/a", "/dev/null", "--hardware", "any", "--audience", "me"], 2, /everyone, tenant=T/u],
    [["add", dir, "app/a", "/dev/null", "--hardware", "any", "--counter", "-1"], 2, /counter/u],
    [["add", dir, "os/a", "--hardware", "any"], 2, /takes a FILE, or the images of a release/u],
    [
      ["add", dir, "os/a", "/dev/null", "--part", "root=/dev/null", "--hardware", "any"],
      2,
      /takes a FILE, or the images of a release/u,
    ],
    [["add", dir, "os/a", "--part", "initrd=/x", "--hardware", "any"], 2, /root=IMAGE, verity=IMAGE, kernel=IMAGE, got "initrd/u],
    [["add", dir, "os/a", "--part", "root=/x", "--part", "root=/y", "--hardware", "any"], 2, /was given twice/u],
    [["add", dir, "app/a", "--part", "root=/x", "--hardware", "any"], 2, /only targets of the role os consist of parts/u],
    [["add", dir, "os/a", "--part", "root=/x", "--hardware", "any"], 2, /would be for no device: no --audience was given/u],
    [
      ["add", dir, "os/a", "--part", "root=/x", "--hardware", "any", "--audience", "tenant=acme"],
      2,
      /would be for no device: the tenant "acme" only narrows/u,
    ],
    [["add", dir, "os/a", "--part", "root=/x", "--hardware", "any", "--audience", "everyone"], 1, /release\.not-initialised/u],
    [["drafts", dir], 1, /release\.not-initialised/u],
    [["add", dir, "os/a", import.meta.filename, "--hardware", "any"], 2, /is not a manifest of parts.*--part root=IMAGE/su],
    [
      ["add", dir, "policy/a", unread, "--hardware", "any"],
      2,
      /is not a policy that a device accepts: .*mode: .*confirmKeys: /su,
    ],
    // [LCK-65] [LCK-66]
    ...["policy/a", "operators/a", "os/a"].flatMap((target): [readonly string[], number, RegExp][] => [
      [["add", dir, target, twice, "--hardware", "any"], 2, /names the member "mode" twice/u],
      [["add", dir, target, marked, "--hardware", "any"], 2, /begins with a byte order mark; save it as UTF-8/u],
    ]),
    [["add", dir, "operators/a", unread, "--hardware", "any"], 2, /is not a roster that a device accepts: .*operators: /su],
    [
      ["add", dir, "os/a", large, "--hardware", "any"],
      2,
      /has 20000 bytes, but a manifest of parts has at most 16384; for images/su,
    ],
    [
      ["add", dir, "os/a", large, "--hardware", "any", "--counter", "9007199254740992"],
      2,
      /--counter must be a number from 1 to 4294967295, got "9007199254740992"/u,
    ],
    [["sign", dir], 1, /release\.not-initialised: .*sallyport-release init DIR/su],
    [["publish", dir, directory], 1, /release\.not-initialised/u],
  ] as const) {
    const { code: got, err } = await release(...args);
    t.equal(got, code, args.join(" "));
    t.match(err.replaceAll(/\s+/gu, " "), message);
  }
  const help = await release("--help");
  t.equal(help.code, 0);
  t.match(help.out, /publish DIR TO/u);
  t.match(help.out, /drafts DIR[\s\S]*remove DIR ROLE\/NAME/u);
  t.match((await release("add", "--help")).out, /--floor-after-commit/u);
  t.match((await release("--version")).out, /^sallyport-release\/\d/u);
});
