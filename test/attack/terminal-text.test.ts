// Texts from outside that would move a cursor, hide or reorder what an operator reads: in every
// place where a program of ours prints them, as lines and as JSON.
import { rmSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { test } from "tap";
import { runCommand } from "../../agent/cli/run.ts";
import { renderTail } from "../../agent/status/index.ts";
import { run as runRelease } from "../../build/release/cli.ts";
import { printableJson, terminalText } from "../../hal/format/text.ts";
import { run as runHub } from "../../hub/cli/index.ts";
import { recordLine } from "../../hub/cli/render.ts";
import { openStore } from "../../hub/store/index.ts";
import { initHub } from "../../hub/index.ts";
import { needs } from "../lab/runner/needs.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";
import { connect, enrolled, labDevice, labHub, labLog, labMessage } from "../lab/worlds/hub.ts";
import { CONNECTED } from "../lab/worlds/device-status.ts";
import { recordOf } from "../lab/worlds/operations.ts";

/**
 * C0, DEL, C1, zero-width, soft hyphen, bidirectional, BOM, a tag, a line separator, two variation
 * selectors, a joiner of graphemes, a filler, and a blank Braille pattern.
 */
const EVIL =
  "\u001b[2J\u0007\u007f\u009b31m\u200b\u200d\u00ad\u202egnp.exe\u202c\u2066\u2069\ufeff\u{e0041}\u2028\ufe0f\u{e0101}\u034f\u3164\u2800end";
const UNPRINTABLE =
  /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\ufe00-\ufe0f\u{e0100}-\u{e01ef}\u034f\u115f\u1160\u180b-\u180f\u3164\uffa0\u2800]/u;

const DIGEST = `sha256:${"0".repeat(64)}`;

function isSafe(text: string): boolean {
  return !UNPRINTABLE.test(text.replaceAll("\n", ""));
}

interface Printed {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function hub(state: string, ...argv: readonly string[]): Promise<Printed> {
  const lines: { out: string[]; err: string[] } = { out: [], err: [] };
  const terminal = {
    out: (text: string) => void lines.out.push(text),
    err: (text: string) => void lines.err.push(text),
    shown: async () => undefined,
    stop: new AbortController().signal,
  };
  const code = await runHub([...argv, "--state", state], terminal);
  return { code, out: lines.out.join("\n"), err: lines.err.join("\n") };
}

test(
  "[AUD-40] sallyport-hub prints nothing that a terminal acts on, and its JSON has the same value",
  { skip: needs("openssl") },
  async (t) => {
    const { hub: serving, state } = await labHub(t);
    const device = await labDevice("gw-1");
    const { client } = await connect(t, serving, device, await enrolled(serving, device));
    await client.subscribeAsync("sallyport/1/gw-1/down/audit", { qos: 1 });
    const answered = new Promise((resolve) => client.once("message", resolve));
    const log = labLog(device, 3, EVIL);
    await client.publishAsync("sallyport/1/gw-1/up/audit", labMessage(log.delivery(0, 3)), { qos: 1 });
    await answered;
    await client.endAsync();
    await serving.stop();
    const store = await openStore(join(state, "hub.db"));
    const known = await store.devices.approved(device.id);
    if (known === undefined) throw new RangeError("not approved");
    await store.commit(store.devices.adopt({ ...known, serialNumber: EVIL, uris: [`urn:dev:${EVIL}`], address: EVIL }));
    store.journal.note("connection.refused", undefined, { claimed: EVIL }, Date.now());
    await store.close();

    const table: readonly { readonly argv: readonly string[]; readonly shows: "lines" | "json" | "fault" }[] = [
      { argv: ["devices", "list"], shows: "lines" },
      { argv: ["devices", "list", "--json"], shows: "json" },
      { argv: ["devices", "revoke", EVIL], shows: "fault" },
      { argv: ["devices", "replace", "gw-1", EVIL], shows: "fault" },
      { argv: ["devices", "replace", "gw-1", DIGEST, "--request", EVIL], shows: "fault" },
      { argv: ["devices", "rekey", EVIL], shows: "fault" },
      { argv: ["devices", "rekey", "gw-1", "--to", EVIL], shows: "fault" },
      { argv: ["devices", "rekey", "gw-1", "--hold", EVIL], shows: "fault" },
      { argv: ["alerts", "--all"], shows: "lines" },
      // The journal holds printable text only, so its JSON needs no escapes.
      { argv: ["alerts", "--all", "--json"], shows: "lines" },
      { argv: ["audit", "show", "gw-1"], shows: "lines" },
      { argv: ["audit", "show", "gw-1", "--json"], shows: "json" },
      { argv: ["ask", "gw-1", EVIL], shows: "fault" },
      { argv: ["ask", "gw-1", "status", "--args", EVIL], shows: "fault" },
      { argv: ["update", "status", EVIL], shows: "fault" },
      { argv: ["update", "start", "gw-1", EVIL], shows: "fault" },
      { argv: ["order", "gw-1", EVIL, "--key", EVIL], shows: "fault" },
      { argv: ["answer", EVIL, "--key", EVIL], shows: "fault" },
      { argv: ["release", "publish", EVIL], shows: "fault" },
      { argv: [EVIL], shows: "fault" },
      { argv: ["devices", "list", EVIL], shows: "fault" },
    ];
    for (const { argv, shows } of table) {
      const { code, out, err } = await hub(state, ...argv);
      const what = terminalText(`${argv.slice(0, 2).join(" ")}, ${shows}`).replaceAll(/[^\w ,.-]/gu, "");
      t.ok(isSafe(out) && isSafe(err), what);
      t.equal(code === 0, shows !== "fault", what);
      if (shows === "json")
        t.ok(
          out.split("\n").some((line) => JSON.stringify(JSON.parse(line)).includes(JSON.stringify(EVIL).slice(1, -1))),
          `${what}: a parser gets the same value`,
        );
      if (shows === "lines") t.match(out, "gnp.exe", `${what}: what can be read stays`);
    }
  },
);

test("[AUD-40] sallyport prints nothing that a terminal acts on, whatever a captured agent answers", async (t) => {
  const tail = {
    head: { size: 1, witnessedSize: 0, dropped: 0 },
    records: [recordOf(0, { event: "operation.denied", result: "refused", principal: "ada", detail: { message: EVIL } })],
  };
  if (CONNECTED.device === undefined) throw new RangeError("the lab's device has a name");
  const status = { ...CONNECTED, device: { ...CONNECTED.device, model: EVIL.slice(0, 60) } };
  const table: readonly (readonly [string, object])[] = [
    ["status", status],
    ["--json status", status],
    ["audit tail", tail],
    ["--json audit tail", tail],
    [`status ${EVIL}`, {}],
    ["update status", { phase: EVIL }],
  ];
  for (const [line, result] of table) {
    let printed = "";
    await runCommand(line.split(" "), {
      ask: async () => ({ v: 1, id: "cli-1", result: { ...result } }),
      evidence: () => ({
        log: { names: () => [], read: () => undefined },
        state: { names: () => [], read: () => undefined },
        checkpoints: [],
      }),
      file: () => Buffer.from(EVIL),
      privateFile: () => Buffer.from(EVIL),
      create: () => undefined,
      line: async () => EVIL,
      version: "9.9.9",
      id: () => "cli-1",
      out: (text) => (printed += text),
      err: (text) => (printed += text),
    });
    t.ok(
      printed.length > 0 && isSafe(printed),
      line
        .split(" ", 2)
        .join(" ")
        .replaceAll(/[^\w -]/gu, ""),
    );
    if (line.startsWith("--json")) t.match(JSON.stringify(JSON.parse(printed)), "gnp.exe");
  }
});

test("[AUD-40] sallyport-release prints nothing that a terminal acts on", async (t) => {
  const directory = join(await temporaryDirectory(t), EVIL);
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const table: readonly (readonly string[])[] = [
    ["init", directory, "--json"],
    ["init", directory],
    ["add", directory, EVIL, EVIL],
    ["sign", EVIL],
    ["publish", EVIL, join(directory, EVIL)],
    [EVIL],
    ["sign", directory, `--${EVIL}`],
  ];
  for (const argv of table) {
    const printed: string[] = [];
    await runRelease(argv, {
      out: (text) => void printed.push(text),
      err: (text) => void printed.push(text),
      shown: async () => undefined,
      nowMs: () => Date.now(),
    });
    t.ok(isSafe(printed.join("\n")), (argv[0] ?? "").replaceAll(/\W/gu, ""));
    if (argv.includes("--json")) t.match(JSON.parse(printed.join("\n")), { keys: join(directory, "keys") });
  }
});

test("for any value JSON for a terminal is safe and parses to the same value", async (t) => {
  const value = fc.jsonValue({ stringUnit: "binary" });
  fc.assert(
    fc.property(value, fc.constantFrom(undefined, 2), (any, indent) => {
      const text = printableJson(any, indent);
      t.ok(isSafe(text));
      t.strictSame(JSON.parse(text), JSON.parse(JSON.stringify(any)));
    }),
  );
});

test("[AUD-40] who acted is marked as the agent's word in the agent's records, and not in the warden's", async (t) => {
  const said = recordOf(1, { event: "operation.allowed", result: "ok", principal: "ada" });
  const verified = recordOf(2, { event: "login.accepted", result: "ok", principal: "ada" });
  const nobody = recordOf(3, { event: "tunnel.connected", result: "ok" });
  t.match(recordLine(said), "by ada (says the agent)");
  t.match(recordLine(verified), /by ada(?: |$)/u);
  t.notMatch(recordLine(verified), "says the agent");
  t.match(recordLine(nobody), "by agent");
  const [, first = "", second = "", third = ""] = renderTail({
    head: { size: 3, witnessedSize: 0, dropped: 0 },
    records: [said, verified, nobody],
  }).split("\n");
  t.match(first, /ok +ada \(says the agent\)/u);
  t.notMatch(second, "says the agent");
  t.match(third, /ok +-/u);
});

test("[AUD-40] what the hub knows only from a device's agent is marked so in alerts and journal, as lines and as JSON", async (t) => {
  const state = join(await temporaryDirectory(t), "hub");
  await initHub({ state, name: "Plant 7", hosts: ["hub.example"] });
  const store = await openStore(join(state, "hub.db"));
  store.journal.note("update.rolled-back", "gw-1", { target: "os/a.json", why: "all is well" }, Date.now());
  store.journal.note("device.other-key", "gw-1", { fingerprint: "sha256:00" }, Date.now());
  await store.close();
  const [claimed = "", known = ""] = (await hub(state, "alerts")).out.split("\n");
  t.match(claimed, /update\.rolled-back .*\(says the agent\)/u);
  t.notMatch(known, "says the agent");
  const [claim, fact] = (await hub(state, "alerts", "--json")).out.split("\n").map((line): unknown => JSON.parse(line));
  t.match(claim, { event: "update.rolled-back", saidBy: "agent" });
  t.notMatch(fact, { saidBy: "agent" });
});

test("a hub's name is printed like any other text", async (t) => {
  const state = join(await temporaryDirectory(t), "hub");
  await initHub({ state, name: "Plant 7", hosts: ["hub.example"] });
  const { out } = await hub(state, "anchors");
  t.ok(isSafe(out));
  t.match(JSON.parse(out), { name: "Plant 7" });
});
