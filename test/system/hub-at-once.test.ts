// Commands of the hub that run at once on one state directory.
import { createPublicKey, X509Certificate } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Test, test } from "tap";
import { lockDirectory } from "../../hal/linux/files/index.ts";
import { openStore } from "../../hub/store/index.ts";
import { startProgram } from "../lab/runner/process.ts";
import { programFile } from "../lab/runner/programs.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";
import { labDevice } from "../lab/worlds/hub.ts";
import { openReleaseTool } from "../lab/worlds/release-tool.ts";

const MAIN = programFile("sallyport-hub");
const INIT = ["init", "--name", "Plant 7", "--host", "localhost"] as const;

async function processes(t: Test) {
  const directory = await temporaryDirectory(t);
  const state = join(directory, "hub");
  const run = async (...args: readonly string[]) => {
    const program = startProgram({
      name: args.join(" "),
      command: process.execPath,
      args: [MAIN, ...args, "--state", state],
    });
    const { code } = await program.ended;
    return { code, out: program.lines.join("\n") };
  };
  return { directory, state, run };
}

test("[STA-41] of several inits at once one makes the hub, and its keys belong together", async (t) => {
  const { state, run } = await processes(t);
  const made = await Promise.all([1, 2, 3, 4].map(() => run(...INIT)));
  t.equal(made.filter(({ code }) => code === 0).length, 1);
  for (const { code, out } of made) if (code !== 0) t.match(out, /lock\.held|hub\.already-initialised/u);
  const at = (name: string): Buffer => readFileSync(join(state, name));
  const authority = new X509Certificate(at("authority.pem"));
  t.ok(authority.publicKey.equals(createPublicKey(at("authority.key"))));
  t.ok(new X509Certificate(at("server.pem")).verify(authority.publicKey));
  t.match(JSON.parse(at("hub.json").toString("utf8")), { authority: at("authority.pem").toString("utf8") });
});

test("[STA-41] publications at once follow each other", async (t) => {
  const { directory, state, run } = await processes(t);
  t.equal((await run(...INIT)).code, 0);
  const tool = await openReleaseTool(join(directory, "release"));
  await tool.target("app/one.bin", Buffer.from("one"));
  await tool.sign();
  const held = lockDirectory(state, ".publishing", 0);
  const waiting = Promise.all([1, 2, 3].map(() => run("release", "publish", tool.directory)));
  held.release();
  for (const { code, out } of await waiting) t.equal(code, 0, out);
  writeFileSync(join(directory, "other"), "");
  t.match(await run("release", "publish", join(directory, "other")), { code: 1 });
});

test("[ID-62] of two operators who replace one key at once, one succeeds and the other is told", async (t) => {
  const { state, run } = await processes(t);
  t.equal((await run(...INIT)).code, 0);
  const store = await openStore(join(state, "hub.db"));
  t.teardown(() => store.close());
  const boards = await Promise.all([1, 2, 3].map(() => labDevice("gw-1", { protection: "tpm" })));
  const asked = { serialNumber: "SN-1", uris: [], auditKey: undefined, protection: "tpm", address: "?", seenAtMs: 1 } as const;
  for (const { id, fingerprint, csr } of boards) await store.commit(store.devices.request({ id, fingerprint, csr, ...asked }));
  const [old, ...others] = boards.map(({ fingerprint }) => fingerprint);
  t.equal((await run("devices", "approve", "gw-1", old ?? "")).code, 0);
  const list = (await run("devices", "list")).out;
  const typed = others.map((fingerprint) =>
    new RegExp(`devices replace gw-1 ${fingerprint} --request [0-9a-f]{32}`, "u").exec(list),
  );
  const done = await Promise.all(typed.map((found) => run(...(found?.[0] ?? "no command").split(" "))));
  t.equal(done.filter(({ code }) => code === 0).length, 1, done.map(({ out }) => out).join("\n"));
  const states = (await store.devices.list(10)).map(({ state: found }) => found);
  for (const [found, count] of [
    ["approved", 1],
    ["revoked", 1],
    ["pending", 1],
  ] as const)
    t.equal(states.filter((each) => each === found).length, count, found);
});
