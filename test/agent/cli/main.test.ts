// The program as a process, with a real socket and real files.
import { spawn, spawnSync } from "node:child_process";
import { mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { openLocalSocket } from "../../../agent/local/index.ts";
import { listenUnix } from "../../../hal/linux/index.ts";
import { needs } from "../../lab/runner/needs.ts";
import { CLOCK, deviceId, HANDLERS, watchedOperations } from "../../lab/worlds/operations.ts";
import { createJudgedOrders, operator } from "../../lab/worlds/orders.ts";
import { startProgram } from "../../lab/runner/process.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";
import { smallTrail } from "../../lab/worlds/trail.ts";
import { programFile } from "../../lab/runner/programs.ts";

const MAIN = programFile("sallyport");
const NOBODY = 65_534;

async function sallyport(args: readonly string[], uid?: number) {
  const program = startProgram({
    name: "sallyport",
    command: process.execPath,
    args: [MAIN, ...args],
    ...(uid !== undefined && { uid }),
  });
  const { code } = await program.ended;
  return { code, text: program.lines.join("\n") };
}

test("[OPS-3] the status through the root socket is for local root, and complete", async (t) => {
  const path = join(await temporaryDirectory(t), "root.sock");
  const { operations, entries } = watchedOperations();
  const server = await openLocalSocket({ path, socket: "root", operations, listen: listenUnix });
  t.teardown(() => server.close());
  t.match(await sallyport(["--socket", path, "status"]), {
    code: 0,
    text: /CONNECTED[^]*hub hub\.example\.net:8883, peer CN=hub\.example\.net/,
  });
  t.match(await sallyport(["--socket", path, "audit", "tail", "-n", "2"]), {
    code: 0,
    text: /3 records, 1 witnessed by the hub/,
  });
  t.match(entries, [{ principal: "local-root", correlation: /^cli-[0-9a-f]{12}$/ }, { detail: { operation: "audit.tail" } }]);
  t.equal(entries.length, 2);
});

/**
 * A checkout in root's home is closed to other users. A user who cannot start the program is not
 * refused by it.
 */
function closedToOthers(): string | false {
  const tried = spawnSync("/usr/bin/setpriv", [`--reuid=${NOBODY}`, "--clear-groups", "--", "/usr/bin/test", "-r", MAIN]);
  return tried.status === 0 ? false : "another user cannot read this checkout: clone it outside of root's home";
}

test("another user may not ask the agent", { skip: needs("root") || closedToOthers() }, async (t) => {
  const path = join(await temporaryDirectory(t), "root.sock");
  const server = await openLocalSocket({ path, socket: "root", operations: watchedOperations().operations, listen: listenUnix });
  t.teardown(() => server.close());
  t.match(await sallyport(["--socket", path, "status"], NOBODY), {
    code: 4,
    text: /socket\.denied: this user may not ask the agent .* try as root/,
  });
});

test("[OPS-7] reboot as a process: the challenge on stderr, the answer on stdin, with or without a line end", async (t) => {
  const path = join(await temporaryDirectory(t), "root.sock");
  const id = deviceId("gw-0042");
  const alice = operator("alice", "technician");
  const judge = createJudgedOrders(id, CLOCK, [alice]);
  const { operations } = watchedOperations({
    ...HANDLERS,
    "order.nonce": async ({ verb }) => ({ deviceId: id, ...(await judge.nonce(verb)) }),
    "system.reboot": async ({ order }) => {
      await judge.submit("system.reboot", order);
      return { rebooting: true };
    },
  });
  const server = await openLocalSocket({ path, socket: "root", operations, listen: listenUnix });
  t.teardown(() => server.close());
  for (const ending of ["\r\n", ""]) {
    const child = spawn("/usr/bin/env", [
      "-i",
      `PATH=${process.env["PATH"]}`,
      process.execPath,
      MAIN,
      "--socket",
      path,
      "reboot",
    ]);
    let shown = "";
    child.stderr.setEncoding("utf8");
    for await (const text of child.stderr) {
      shown += String(text);
      const [, challenge] = /answer (\S+) --key FILE\n[^]*answer> $/u.exec(shown) ?? [];
      if (challenge !== undefined) child.stdin.end(`${alice.answer(challenge)}${ending}`);
    }
    const out = (await child.stdout.toArray()).join("");
    t.equal(out, "This device restarts now.\n");
  }
  t.same(judge.taken(), ["system.reboot", "system.reboot"]);
});

test("no agent, an unknown command, and the version", async (t) => {
  const path = join(await temporaryDirectory(t), "root.sock");
  t.match(await sallyport(["--socket", path, "status"]), { code: 3, text: /socket\.unreachable: no agent listens/ });
  t.match(await sallyport(["staus"]), { code: 2, text: /usage\.invalid: there is no command "staus"; see sallyport --help/ });
  const manifest: unknown = JSON.parse(await readFile(new URL("../../../package.json", import.meta.url), "utf8"));
  const { text } = await sallyport(["--version"]);
  t.match(manifest, { version: text.slice("sallyport/".length) }, "it is the version of the package");
});

test("[AUD-22] audit verify reads the warden's directory and a flat copy; a flipped byte gives exit code 5 and the entry's number", async (t) => {
  const trail = smallTrail("gw-0042", 20);
  const [state, copy] = [await temporaryDirectory(t), await temporaryDirectory(t)];
  await mkdir(join(state, "audit"));
  await writeFile(join(state, "audit", trail.segmentName), trail.segment);
  await writeFile(join(state, "witnessed.note"), trail.note(20, trail.witness));
  t.match(await sallyport(["audit", "verify", state, "--key", trail.vkey, "--witness", trail.witnessVkey]), {
    code: 0,
    text: /sound: entries 0 to 19/,
  });

  const flipped = Buffer.from(trail.segment);
  const at = (trail.offsets[7] ?? 0) + 40;
  flipped[at] = (flipped[at] ?? 0) ^ 1;
  await writeFile(join(copy, trail.segmentName), flipped);
  const hubs = join(copy, "from-hub");
  await writeFile(hubs, trail.note(20, trail.witness));
  const end = await sallyport(["--json", "audit", "verify", copy, "--key", trail.vkey, "--checkpoint", hubs]);
  t.equal(end.code, 5);
  t.match(JSON.parse(end.text), { verified: false, finding: { entry: 7 } });
});

test("links and missing files of a log are refused by name", async (t) => {
  const trail = smallTrail("gw-0042", 3);
  const copy = await temporaryDirectory(t);
  t.match(await sallyport(["audit", "verify", join(copy, "none"), "--key", trail.vkey]), {
    code: 1,
    text: /file\.read-failed: list ".*none"/,
  });
  await symlink("/dev/zero", join(copy, trail.segmentName));
  t.match(await sallyport(["audit", "verify", copy, "--key", trail.vkey]), {
    code: 1,
    text: /file\.not-regular: read ".*": it is not a regular file; links are not followed/,
  });
  t.match(await sallyport(["audit", "verify", copy, "--key", trail.vkey, "--checkpoint", join(copy, "x")]), {
    code: 1,
    text: /there is no such file/,
  });
});
