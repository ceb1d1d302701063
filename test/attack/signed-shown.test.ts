// What a signer is shown before signing: everything that an order stands for, legible on a terminal
// of 80 columns, whatever the text in it tries; and texts that went through editors and mail.
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "tap";
import * as v from "valibot";
import { signed } from "../../build/release/drafts.ts";
import { readSigner } from "../../build/release/keys.ts";
import { layoutOf } from "../../build/release/layout.ts";
import { signChanges } from "../../build/release/sign.ts";
import { type Plan, planHash } from "../../warden/lockdown/format/index.ts";
import { planLockdown } from "../../warden/lockdown/plan/index.ts";
import { labHub } from "../lab/worlds/hub.ts";
import { admitted, hubCommand, listening } from "../lab/worlds/hub-cli.ts";
import { labPolicy, labSnapshot } from "../lab/worlds/lockdown.ts";
import { answer, answerText, hashOf, ID, NONCE, operatorsMachine } from "../lab/worlds/operators-machine.ts";

const DAY_MS = 86_400_000;

function planWith(change: Readonly<Record<string, unknown>>): Plan {
  return planLockdown(labPolicy(change), labSnapshot());
}

function stick(serial: string) {
  return { usb: { allow: [{ vendor: "0951", product: "1666", serial, interfaces: ["08:06:50"] }] } };
}

function confirming(plan: Plan, before: Plan) {
  return { verb: "lockdown.confirm", planHash: planHash(plan), plan, before };
}

/** The lines below a title, up to the next title. */
function below(lines: readonly string[], title: RegExp): string {
  const from = lines.findIndex((line) => title.test(line));
  const rest = lines.slice(from + 1);
  const to = rest.findIndex((line) => !line.startsWith(" "));
  return rest.slice(0, to === -1 ? rest.length : to).join("\n");
}

test("[LCK-20] serial numbers that differ in what does not print read different, and none looks like a line of its own", async (t) => {
  const machine = await operatorsMachine(t);
  const before = planWith(stick("60A4"));
  for (const serial of ["60A4\u200b", "60A4\u202e", "60A4\u009b2J", "60A4\ufe0f", "60A4\u{e0041}", "60A4\n", "60A4 "]) {
    const { code, shown } = await answer(machine, confirming(planWith(stick(serial)), before), "--yes");
    t.equal(code, 0);
    t.match(below(shown, /^opens/u), /usb 0951:1666 serial "60A4\\/u, "it is shown as opened");
    t.match(below(shown, /^closes/u), /usb 0951:1666 serial "60A4"/u);
  }
  const imitation = `60A4${" ".repeat(80)}closes: nothing`;
  const { shown } = await answer(machine, confirming(planWith(stick(imitation)), before), "--yes");
  t.notOk(
    shown.some((line) => /^ *closes: nothing/u.test(line)),
    "no line begins with it",
  );
});

test("[LCK-20] nothing that a plan opens is cut off: each line fits 80 columns, and a long one goes on", async (t) => {
  const machine = await operatorsMachine(t);
  const peers = Array.from({ length: 31 }, (_, at) => `2001:db8:aaaa:bbbb:cccc:dddd:eeee:${(at + 4096).toString(16)}`);
  const to = [...peers, "fd00::/8"];
  const opened = planWith({ network: { outbound: [{ protocol: "tcp", ports: [2222], to }] } });
  const { code, shown } = await answer(machine, confirming(opened, planWith({})), "--yes");
  t.equal(code, 0);
  const opens = below(shown, /^opens/u).split(/\s+/u);
  t.same(
    to.filter((peer) => !opens.includes(peer)),
    [],
    "every address is there",
  );
  t.same(
    shown.filter((line) => line.length > 80),
    [],
    "no line is wider than the terminal",
  );

  const rules = Array.from({ length: 600 }, (_, at) => ({
    direction: "out" as const,
    link: null,
    protocol: "tcp" as const,
    ports: [[at + 1, at + 1] satisfies [number, number]],
    sourcePort: null,
    peers: null,
    why: "policy" as const,
  }));
  const crowded = { ...planWith({}), firewall: "", networkRules: rules };
  const refused = await answer(machine, confirming(crowded, planWith({})), "--yes");
  t.match(refused, { code: 1, out: "", err: /order\.unresolved: .*nobody reads more than 512|has more than 61440 bytes/u });
});

test("[OPS-26] an older release, and a hash that two releases have, are said to be that", async (t) => {
  const machine = await operatorsMachine(t);
  const older = await answer(machine, { verb: "update.approve", planHash: hashOf("for all") }, "--yes");
  t.match(older, { code: 0, err: /caution it is not the newest: os\/north\.json has counter 3/u });
  const newest = await answer(machine, { verb: "update.approve", planHash: hashOf("for north") }, "--yes");
  t.match(newest, { code: 0 });
  t.notMatch(newest.err, /caution/u, "those for other devices and tenants do not count");
  await machine.add("os/again.json", "for all", { devices: [ID] });
  await signChanges(machine.dir, [], Date.now());
  const twice = await answer(machine, { verb: "update.approve", planHash: hashOf("for all") }, "--yes");
  t.match(twice.err, /caution 2 releases have this hash release os\/all\.json .* release os\/again\.json/u);
});

test("[OPS-26] a repository that is stale, incomplete, or whose delegation was taken back, gets no signature", async (t) => {
  const members = { verb: "update.approve", planHash: hashOf("for all") };
  const stale = await operatorsMachine(t, Date.now() - 91 * DAY_MS);
  t.match(await answer(stale, members, "--yes"), { code: 1, out: "", err: /trust\.expired: .*timestamp 2 expired/u });
  const withheld = await operatorsMachine(t);
  rmSync(join(withheld.repository, "metadata/timestamp.json"));
  t.match(await answer(withheld, members, "--yes"), { code: 1, out: "", err: /trust\.missing/u });

  const revoked = await operatorsMachine(t);
  const metadata = join(revoked.repository, "metadata");
  const read = (name: string) =>
    v.parse(v.object({ signed: v.looseObject({ version: v.number() }) }), JSON.parse(readFileSync(join(metadata, name), "utf8")))
      .signed;
  const write = async (name: string, role: string, draft: object) =>
    writeFileSync(join(metadata, name), signed(draft, [await readSigner(layoutOf(revoked.dir), role)]));
  const targets = v.parse(
    v.looseObject({ delegations: v.looseObject({ roles: v.array(v.looseObject({ name: v.string() })) }) }),
    read("1.targets.json"),
  );
  const roles = targets.delegations.roles.filter(({ name }) => name !== "os");
  const { meta } = v.parse(v.looseObject({ meta: v.record(v.string(), v.unknown()) }), read("2.snapshot.json"));
  await write("2.targets.json", "targets", { ...targets, version: 2, delegations: { ...targets.delegations, roles } });
  await write("3.snapshot.json", "snapshot", {
    ...read("2.snapshot.json"),
    version: 3,
    meta: { ...meta, "targets.json": { version: 2 } },
  });
  await write("timestamp.json", "timestamp", {
    ...read("timestamp.json"),
    version: 3,
    meta: { "snapshot.json": { version: 3 } },
  });
  const refused = await answer(revoked, members, "--yes");
  t.match(refused, { code: 1, out: "", err: /order\.unresolved: .*no release that your root vouches for has the hash/u });
});

/** What editors and mail programs do to a line. */
const TRAVELS: Readonly<Record<string, (line: string) => string>> = {
  "with the line ends of Windows": (line) => `${line}\r\n`,
  "with a byte order mark": (line) => `\ufeff${line}\r\n`,
  "with spaces and empty lines around it": (line) => `\n\n  ${line}  \n\n`,
  "wrapped by a mail program": (line) => (line.match(/.{1,72}/gu) ?? []).join("\n"),
  "quoted in a reply": (line) => (line.match(/.{1,70}/gu) ?? []).map((part) => `> ${part}`).join("\r\n"),
};

test("[OPS-27] request and answer survive editors and mail programs, and what does not is refused by its name", async (t) => {
  const machine = await operatorsMachine(t);
  const { hub, state } = await labHub(t);
  const orders: unknown[] = [];
  await listening(t, hub, await admitted(hub, ID), (request) => {
    if (request.operation === "order.nonce") return { result: { deviceId: ID, nonce: NONCE } };
    orders.push(request.args);
    return { result: { rebooting: true } };
  });
  const printed = await hubCommand(state, "order", ID, "system.reboot", "--print");
  const file = join(machine.directory, "answer");
  for (const [how, travel] of Object.entries(TRAVELS)) {
    const answered = await answerText(machine, travel(printed.out[0] ?? ""));
    t.equal(answered.code, 0, `${how}: ${answered.err}`);
    writeFileSync(file, travel(answered.out));
    const sent = await hubCommand(state, "order", ID, "--answer", file);
    t.equal(sent.code, 0, `${how}: ${sent.err.join()}`);
    t.same(orders.pop(), { order: answered.out }, how);
  }
  const line = printed.out[0] ?? "";
  for (const text of ["", line.slice(0, -20), `${line}${line}`, line.replaceAll('"', "\u201d"), `Dear Anna,\n${line}`])
    t.match(await answerText(machine, text), {
      code: 1,
      out: "",
      err: /order\.invalid: .*the whole line that sallyport-hub order --print/u,
    });
  const { out } = await answerText(machine, line);
  for (const text of ["", out.slice(0, -20), `${out}\n${out}`, out.replaceAll('"', "\u201d"), line]) {
    writeFileSync(file, text);
    const sent = await hubCommand(state, "order", ID, "--answer", file);
    t.match(
      sent,
      { code: 1, err: [/order\.invalid: .*the whole line that sallyport-release answer printed/su] },
      text.slice(0, 20),
    );
  }
  t.same(orders, [], "none of these left the hub");
});
