// Publishing a signed repository: only a complete and newer one is served.
import { copyFile, cp, mkdir, readdir, readFile, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type Test } from "tap";
import { addTarget } from "../../../build/release/add.ts";
import { initialise } from "../../../build/release/init.ts";
import { signChanges } from "../../../build/release/sign.ts";
import { ask, labHub } from "../../lab/worlds/hub.ts";
import { admitted, hubCommand, listening } from "../../lab/worlds/hub-cli.ts";
import { eventually } from "../../lab/runner/process.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";

const SAID = { line: "os", hardware: { any: true }, audience: { everyone: true } } as const;
const CHUNK = `chunks/ab12/${"ab12".repeat(16)}.cacnk`;

/** A repository with one release and its chunks. */
async function released(t: Test): Promise<string> {
  const directory = join(await temporaryDirectory(t), "release");
  await initialise(directory, Date.now());
  await release(directory, 1);
  await mkdir(join(directory, "repository", CHUNK, ".."), { recursive: true });
  await writeFile(join(directory, "repository", CHUNK), "a chunk");
  return directory;
}

async function release(directory: string, n: number): Promise<void> {
  const file = join(directory, `manifest-${n}`);
  await writeFile(file, `release ${n}`);
  await addTarget(directory, `os/gateway-${n}.json`, file, SAID);
  await signChanges(directory, [], Date.now());
}

async function targetFile(directory: string): Promise<string> {
  const os = join(directory, "repository", "targets", "os");
  const [name = ""] = await readdir(os);
  return join(os, name);
}

test("[OTA-37] [OTA-42] a published repository is served beside enrolment, and every approved device is notified", async (t) => {
  const { hub, state } = await labHub(t);
  const { heard } = await listening(t, hub, await admitted(hub, "gw-1"));
  const directory = await released(t);
  t.equal((await ask(hub, "/repository/metadata/timestamp.json")).status, 404, "nothing is served before");
  const first = await hubCommand(state, "release", "publish", directory, "--json");
  t.equal(first.code, 0, first.err.join());
  t.match(first.data, { directory: join(state, "repository"), timestamp: 2, told: ["gw-1"] });
  const served = async (path: string) => (await ask(hub, `/repository/${path}`)).body;
  for (const path of ["metadata/timestamp.json", "metadata/1.root.json", CHUNK])
    t.same(await served(path), await readFile(join(directory, "repository", path)), path);
  const target = await targetFile(directory);
  t.same((await served(target.slice(target.indexOf("targets/")))).toString(), "release 1");
  t.notMatch(
    await readdir(join(state, "repository"), { recursive: true }),
    [/key|pem|staged|\.new/],
    "no keys and nothing unsigned",
  );
  for (const path of ["../hub.db", "..%2fhub.db", "%2e%2e/authority.key", "", "metadata"])
    t.equal((await ask(hub, `/repository/${path}`)).status, 404, path);
  await eventually("the hint", async () => (heard.length > 0 ? true : undefined));
  t.match(heard, [{ channel: "policy", body: { kind: "repository.changed" } }]);

  await release(directory, 2);
  t.match((await hubCommand(state, "release", "publish", directory, "--json")).data, { timestamp: 3 });
  t.match(
    (await hubCommand(state, "release", "publish", directory, "--json")).data,
    { copied: 0 },
    "publishing again copies nothing",
  );
  t.match((await hubCommand(state, "alerts", "--all")).out.join("\n"), /repository\.published - by=\S+ copied=\d+ timestamp=2/);
});

test("[OTA-20] another repository, an older state and a different state of the same version are refused, and the served one stays", async (t) => {
  const { hub, state } = await labHub(t);
  const directory = await released(t);
  const older = join(await temporaryDirectory(t), "older");
  await cp(directory, older, { recursive: true });
  await release(directory, 2);
  const publish = async (from: string) => hubCommand(state, "release", "publish", from);
  t.equal((await publish(directory)).code, 0);
  const before = await readdir(join(state, "repository"), { recursive: true });
  t.match(await publish(older), { code: 1, err: [/release\.conflict: .*devices would refuse the older one/] });
  await release(older, 3);
  t.match(await publish(older), {
    code: 1,
    err: [/release\.conflict: .*differs from .*, although both were signed as (?:the same version|version 3)/],
  });
  t.match(await publish(await released(t)), { code: 1, err: [/release\.conflict: .*another repository/] });
  t.same(await readdir(join(state, "repository"), { recursive: true }), before);
  t.same(
    (await ask(hub, "/repository/metadata/timestamp.json")).body,
    await readFile(join(directory, "repository/metadata/timestamp.json")),
  );
});

test("[OTA-26] drafts that nobody signed are a reason to refuse, unless they are left behind on purpose", async (t) => {
  const { state } = await labHub(t);
  const directory = await released(t);
  await addTarget(directory, "os/gateway-2.json", join(directory, "manifest-1"), SAID);
  t.match(await hubCommand(state, "release", "publish", directory), {
    code: 1,
    err: [/release\.refused: .*drafts that nobody has signed/],
  });
  t.match(await hubCommand(state, "release", "publish", directory, "--without-drafts"), { code: 0 });
});

test("[OTA-6] [OTA-20] a repository with a missing, truncated or replaced file is refused before anything is copied", async (t) => {
  const { state } = await labHub(t);
  const broken = async (how: (directory: string, target: string) => Promise<void>) => {
    const directory = await released(t);
    await how(directory, await targetFile(directory));
    const { code, err } = await hubCommand(state, "release", "publish", directory);
    t.equal(code, 1);
    t.same(await readdir(join(state, "repository")).catch(() => []), [], "nothing was copied");
    return err.join();
  };
  const metadata = (directory: string, name: string) => join(directory, "repository", "metadata", name);
  t.match(await broken(async (_directory, target) => rm(target)), /release\.store-failed: .*missing/);
  t.match(await broken(async (_directory, target) => truncate(target, 3)), /release\.store-failed: .*not what was signed/);
  t.match(
    await broken(async (_directory, target) => writeFile(target, "release 9")),
    /release\.store-failed: .*not what was signed/,
  );
  t.match(await broken(async (directory) => rm(metadata(directory, "2.os.json"))), /trust\.missing: .*no 2\.os\.json/);
  t.match(
    await broken(async (directory) => copyFile(metadata(directory, "1.os.json"), metadata(directory, "2.os.json"))),
    /trust\.mismatch: .*"os" 1 is not version 2, which was announced/,
  );
  t.match(await broken(async (directory) => truncate(metadata(directory, "timestamp.json"), 20)), /trust\.invalid/);
  t.match(await broken(async (directory) => rm(metadata(directory, "timestamp.json"))), /release\.not-initialised/);
  t.match(
    await broken(async (directory, target) => symlink(target, join(directory, "repository", "link"))),
    /release\.store-failed: .*expected plain files/,
  );
});
