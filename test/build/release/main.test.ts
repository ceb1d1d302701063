import { execFile } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { test } from "tap";
import { temporaryDirectory } from "../../lab/temporary.ts";
import { environment } from "../../lab/process.ts";

const MAIN = fileURLToPath(new URL("../../../build/release/main.ts", import.meta.url));
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

test("[OTA-14] from nothing to a published release by the program itself", async (t) => {
  const directory = await temporaryDirectory(t);
  const dir = join(directory, "release");
  const to = join(directory, "www");
  const file = join(directory, "gateway-2.json");
  writeFileSync(file, "an image");

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
    file,
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
    length: 8,
    custom: { line: "os", counter: 1, audience: { tenant: "acme", groups: ["north"] } },
  });

  const signed = await release("sign", dir);
  t.equal(signed.code, 0, signed.err);
  t.match(signed.out, /^os 2, until .*\nsnapshot 2, .*\ntimestamp 2, .*\nnext: sallyport-release publish/u);
  t.match((await release("sign", dir)).out, /nothing changed/u);

  const published = await release("publish", dir, to, "--json");
  t.equal(published.code, 0, published.err);
  t.match(JSON.parse(published.out), { timestamp: 2 });
  t.same(readdirSync(join(to, "targets/os")).length, 1);
  t.notOk(readdirSync(to).includes("keys"), "no key is published");
  t.ok(readFileSync(join(to, "metadata/timestamp.json")).byteLength > 0);
});

test("[OTA-14] what is typed wrong ends with 2 and says what to type, what cannot be done with 1 and what to do", async (t) => {
  const directory = await temporaryDirectory(t);
  const dir = join(directory, "release");
  mkdirSync(dir);
  for (const [args, code, message] of [
    [[], 2, /no command given[\s\S]*init DIR/u],
    [["bake", dir], 2, /no command "bake"/u],
    [["init"], 2, /init takes 1 arguments, got 0/u],
    [["init", dir, "--nonsense"], 2, /nonsense/u],
    [["add", dir, "os/a", "/dev/null"], 2, /needs --hardware/u],
    [["add", dir, "os/a", "/dev/null", "--hardware", "any", "--audience", "me"], 2, /everyone, tenant=T/u],
    [["add", dir, "os/a", "/dev/null", "--hardware", "any", "--counter", "-1"], 2, /counter/u],
    [["sign", dir], 1, /release\.not-initialised: .*sallyport-release init DIR/u],
    [["publish", dir, directory], 1, /release\.not-initialised/u],
  ] as const) {
    const { code: got, err } = await release(...args);
    t.equal(got, code, args.join(" "));
    t.match(err, message);
  }
  const help = await release("--help");
  t.equal(help.code, 0);
  t.match(help.out, /publish DIR TO/u);
  t.match((await release("add", "--help")).out, /--floor-after-commit/u);
});
