// The program as a person or systemd starts it: its words, its exit codes, its state.
import { readFileSync, writeFileSync } from "node:fs";
import { readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type Test } from "tap";
import { WARDEN_MAIN, labWarden, type LabWarden, verifiedLog } from "../lab/warden.ts";
import { needs } from "../lab/needs.ts";
import { type RunningProgram, startProgram } from "../lab/process.ts";
import { hubTime } from "../lab/hub-voice.ts";
import { faultOf } from "../lab/faults.ts";

const BORN = { protection: "file", keyFingerprint: `sha256:${"ab".repeat(32)}` } as const;

async function run(t: Test, ...args: readonly string[]): Promise<{ readonly code: number | null; readonly text: string }> {
  const program = startProgram({ name: "warden", command: process.execPath, args: [WARDEN_MAIN, ...args] });
  t.teardown(() => program.stop("SIGKILL"));
  const { code } = await program.ended;
  return { code, text: program.lines.join("\n") };
}

async function endOf(program: RunningProgram): Promise<{ readonly code: number | null; readonly text: string }> {
  const { code } = await program.ended;
  return { code, text: program.lines.join("\n") };
}

test("usage: help and version answer with 0, an option that is none with 2", async (t) => {
  t.match(await run(t, "--help"), { code: 0, text: /usage: sallyport-warden/u });
  t.match(await run(t, "--version"), { code: 0, text: /sallyport-warden\/\d/u });
  t.match(await run(t, "--open-all"), { code: 2, text: /usage\.invalid.*open-all/u });
  t.match(await run(t, "file.json"), { code: 2, text: /usage\.invalid/u });
});

test("--check-config: 0 and the settings in force, or 78 and every fault; the machine is not touched", async (t) => {
  const lab = await labWarden(t);
  t.match(await run(t, "--config", lab.configFile, "--check-config"), { code: 0, text: /is right.*"setClock":false/u });
  t.same(await readdir(lab.board.wardenState), [], "no state was made");
  await writeFile(lab.configFile, '{"socket":"relative","colour":"red","audit":{"bytesMax":1}}');
  const { code, text } = await run(t, "--config", lab.configFile, "--check-config");
  t.equal(code, 78);
  for (const what of ["config.invalid", "socket", "colour", "audit.bytesMax"]) t.match(text, what);
});

test("a configuration that is missing, no file, or writable by others ends with 78", async (t) => {
  const lab = await labWarden(t);
  t.match(await run(t, "--config", "/nonexistent/warden.json"), { code: 78, text: /config\.unreadable.*no such file/u });
  t.match(await run(t, "--config", lab.board.etc), { code: 78, text: /config\.unreadable/u });
  await rm(lab.configFile);
  writeFileSync(lab.configFile, "{}", { mode: 0o666 });
  const before = process.umask(0);
  await rm(lab.configFile);
  writeFileSync(lab.configFile, "{}", { mode: 0o666 });
  process.umask(before);
  t.match(await run(t, "--config", lab.configFile), { code: 78, text: /another user may write it/u });
});

test("[STA-3] a second warden on the same state is refused and told by whom; the first serves on", async (t) => {
  const lab = await labWarden(t);
  const first = await lab.start();
  const { code, text } = await endOf(lab.launch());
  t.equal(code, 1);
  t.match(text, `held by pid ${first.pid}`);
  t.match(text, "lock.held");
  t.match(await lab.client().call("identity.read", {}), { identity: { id: "GW-4711", source: "serial" } });
});

test("[ID-3] a board with no serial and no MAC of its own: the warden says so, makes no identity and ends with 1", async (t) => {
  const lab = await labWarden(t, { serial: "Default string", mac: "02:00:00:00:00:10" });
  t.match(await endOf(lab.launch()), { code: 1, text: /identity\.no-source.*commission the device/u });
});

test("[ID-6] after a replaced network card the device keeps the id it was born with, and says so in status and trail", async (t) => {
  const lab = await labWarden(t, { serial: "None" });
  const first = await lab.start();
  const client = lab.client();
  t.match(await client.call("birth.record", BORN), { id: "001b210a0010", source: "mac" });
  await first.stop();
  for (const [bus, name, mac] of [
    ["01", "eth0", "00:1b:21:ff:ff:01"],
    ["02", "eth1", "00:1b:21:ff:ff:02"],
  ] as const)
    await writeFile(join(lab.board.root, `sys/devices/pci0000:00/0000:00:${bus}.0/net/${name}/address`), `${mac}\n`);
  await lab.start();
  t.match(await client.call("identity.read", {}), {
    identity: { id: "001b210a0010", macs: ["00:1b:21:ff:ff:01", "00:1b:21:ff:ff:02"] },
  });
  t.match(await client.call("status.read", {}), { troubles: [{ code: "identity.changed" }] });
  t.match(
    (await verifiedLog(client)).findLast(({ event }) => event === "identity.read"),
    { result: "failed", detail: { code: "identity.changed" } },
  );
});

test("[ID-6] a birth record that can't be read is neither replaced nor ignored; the rest is served", async (t) => {
  const lab = await labWarden(t);
  const broken = join(lab.board.birth, "birth.json");
  await writeFile(broken, '{"v":1}', { mode: 0o600 });
  await lab.start();
  const client = lab.client();
  t.match(await client.call("status.read", {}), { troubles: [{ code: "birth.unreadable" }] });
  t.equal((await faultOf(() => client.call("identity.read", {}))).code, "birth.unreadable");
  t.equal((await faultOf(() => client.call("birth.record", BORN))).code, "birth.unreadable");
  t.equal(readFileSync(broken, "utf8"), '{"v":1}');
});

test("[ID-10] without hub anchors, or with broken ones, the warden runs, says so and believes no time", async (t) => {
  for (const [anchors, code] of [
    [undefined, "config.unreadable"],
    ['{"v":1,"name":"half"}', "config.invalid"],
  ] as const) {
    const lab = await labWarden(t);
    const file = join(lab.board.etc, "hub.json");
    await rm(file);
    if (anchors !== undefined) await writeFile(file, anchors);
    await lab.start();
    const client = lab.client();
    t.match(await client.call("status.read", {}), { troubles: [{ code }] });
    const { nonce } = await client.call("time.nonce", {});
    t.equal(
      (await faultOf(() => client.call("time.set", hubTime(lab.hub.time, "GW-4711", nonce, Date.now())))).code,
      "time.bad-signature",
    );
  }
});

test("SIGTERM and SIGINT end it cleanly: what was begun is answered, the stop is recorded, the log goes on with the next start", async (t) => {
  const lab = await labWarden(t);
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    const warden = await lab.start();
    const client = lab.client();
    await client.call("audit.append", { event: "agent.started", result: "ok" });
    t.match(await warden.stop(signal), { code: 0, signal: null });
    client.close();
  }
  await lab.start();
  const log = await verifiedLog(lab.client());
  const events = log.map(({ event }) => event);
  t.equal(events.filter((event) => event === "warden.started").length, 3);
  t.equal(events.filter((event) => event === "warden.stopped").length, 2);
  t.same(
    log.filter(({ event }) => event === "warden.stopped").map(({ detail }) => detail?.["reason"]),
    ["SIGTERM", "SIGINT"],
  );
});

test("[AUD-10] SIGKILL at any moment: every append that was answered is in the log, which verifies, and the id stays", async (t) => {
  const lab = await labWarden(t);
  const answered: number[] = [];
  let n = 0;
  for (let round = 0; round < 8; round++) {
    const warden = await lab.start();
    const client = lab.client();
    const until = Promise.withResolvers<void>();
    const killAt = answered.length + 1 + round * 3;
    const flood = Array.from({ length: 4 }, async () => {
      for (;;) {
        const mine = n++;
        try {
          await client.call("audit.append", { event: "agent.started", result: "ok", detail: { n: mine } });
        } catch {
          return; // the warden is gone: what was not answered may or may not be there
        }
        answered.push(mine);
        if (answered.length >= killAt) until.resolve();
      }
    });
    await until.promise;
    await warden.stop("SIGKILL");
    await Promise.all(flood);
    client.close();
  }
  await lab.start();
  const there = new Set((await verifiedLog(lab.client())).map(({ detail }) => detail?.["n"]));
  t.same(
    answered.filter((mine) => !there.has(mine)),
    [],
    `${answered.length} appends were answered`,
  );
});

test("SIGKILL before and while the birth is recorded: the next start has no birth or the whole one", async (t) => {
  for (const waitMs of [0, 1, 3]) {
    const lab = await labWarden(t);
    const warden = await lab.start();
    const client = lab.client();
    await client.call("time.nonce", {});
    const recording = client.call("birth.record", BORN).then(
      () => true,
      () => false,
    );
    await new Promise((resolve) => setTimeout(resolve, waitMs));
    await warden.stop("SIGKILL");
    const wasAnswered = await recording;
    await lab.start();
    const { birth } = await client.call("identity.read", {});
    if (wasAnswered) t.match(birth, BORN);
    t.match(await client.call("birth.record", BORN), BORN, "the same birth can be recorded (again)");
  }
});

const REMOUNT = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"';
const TINY = 'mount -t tmpfs -o size=4k,mode=700 none "$0" && exec "$@"';

test("[STA-1] a read-only state directory is one clear fault, exit 1", { skip: needs("root") }, async (t) => {
  const lab = await labWarden(t);
  t.match(await endOf(lab.launch(inNamespace(lab, REMOUNT))), { code: 1, text: /file\.read-only.*\/var\/warden/u });
});

test("[STA-1] a full disk at the first start is one clear fault, exit 1", { skip: needs("root") }, async (t) => {
  const lab = await labWarden(t);
  t.match(await endOf(lab.launch(inNamespace(lab, TINY))), { code: 1, text: /file\.no-space.*\/var\/warden/u });
});

function inNamespace(lab: LabWarden, script: string): readonly string[] {
  return ["unshare", "-m", "sh", "-c", script, lab.board.wardenState];
}
