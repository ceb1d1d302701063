// Policies that are accepted, and policies that are refused as a whole.
import { generateKeyPairSync } from "node:crypto";
import { test } from "tap";
import { parsePolicy, POLICY_BYTES_MAX } from "../../../../warden/lockdown/format/index.ts";
import { faultOf } from "../../../lab/runner/faults.ts";
import { CONFIRM_KEY, labPolicy, policyBytes } from "../../../lab/worlds/lockdown.ts";

const inbound = (entry: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> => ({
  network: { inbound: [{ link: "eth0", protocol: "tcp", ports: [80], from: "any", ...entry }] },
});
const stick = (entry: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> => ({
  usb: { allow: [{ vendor: "0951", product: "1666", interfaces: ["08:06:50"], ...entry }] },
});
const der = (curve: string): string =>
  generateKeyPairSync("ec", { namedCurve: curve }).publicKey.export({ format: "der", type: "spki" }).toString("base64");

test("[LCK-1] an omitted list is empty, and so everything in it is shut", async (t) => {
  const policy = parsePolicy(Buffer.from(JSON.stringify({ v: 1, mode: "enforce", confirmKeys: [CONFIRM_KEY, der("P-256")] })));
  t.same(policy.links, []);
  t.same(policy.network, { management: [], inbound: [], outbound: [], echo: "none" });
  t.same(policy.usb, { allow: [], disable: [] });
  t.equal(policy.confirmWithinS, 120);
  t.same(labPolicy(inbound({ ports: [80, "9000-9010"] })).network.inbound[0]?.ports, [80, "9000-9010"]);
});

const REFUSED: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  "an unknown mode": { mode: "open" },
  "no mode": { mode: undefined },
  "another version": { v: 2 },
  "an unknown member": { allowAll: true },
  "an unknown member within": { usb: { allowAll: true } },
  "an unknown member in a list": inbound({ comment: "x" }),
  "no confirm key": { confirmKeys: [] },
  "a confirm key of another curve": { confirmKeys: [der("P-384")] },
  "a malformed confirm key": { confirmKeys: ["AAAA"] },
  "a confirm key in another spelling": { confirmKeys: [`${CONFIRM_KEY}\n`] },
  "a time to confirm that is too short": { confirmWithinS: 29 },
  "a time to confirm that is too long": { confirmWithinS: 601 },
  "a link twice": { links: [{ name: "eth0" }, { name: "eth0" }] },
  "a pattern for a link": { links: [{ name: "eth*" }] },
  "a quote in a link": { links: [{ name: 'eth0"' }] },
  "the loopback as a link": { links: [{ name: "lo" }] },
  "port 0": inbound({ ports: [0] }),
  "port 65536": inbound({ ports: [65_536] }),
  "a range to 65536": inbound({ ports: ["1-65536"] }),
  "a range backwards": inbound({ ports: ["90-80"] }),
  "no port": inbound({ ports: [] }),
  "another protocol": inbound({ protocol: "sctp" }),
  "a name for an address": { network: { outbound: [{ protocol: "tcp", ports: [443], to: ["hub.example"] }] } },
  "bits behind a prefix": { network: { management: ["192.0.2.1/24"] } },
  "everybody as a prefix": { network: { management: ["0.0.0.0/0"] } },
  "another spelling of an address": { network: { management: ["2001:DB8::1"] } },
  "an IPv4 address in IPv6": { network: { management: ["::ffff:192.0.2.1"] } },
  "no interface for a device": stick({ interfaces: [] }),
  "capitals in a vendor": stick({ vendor: "046D" }),
  "a path for a port": stick({ port: "../1-1" }),
  "a tier too many": stick({ port: "1-1.1.1.1.1.1.1" }),
  "a path for a serial line": { serial: { console: "../mem" } },
};

for (const [what, change] of Object.entries(REFUSED))
  test(`[LCK-1] a policy with ${what} is refused`, async (t) => {
    t.throws(() => parsePolicy(policyBytes(change)), { code: "lockdown.invalid" });
  });

test("[LCK-1] all faults are named at once; a text that is not JSON or too long is refused by the same code", async (t) => {
  const { message } = await faultOf(() => parsePolicy(policyBytes({ mode: "off", confirmWithinS: 1, extra: 1 })));
  for (const part of ["mode", "confirmWithinS", "extra"]) t.match(message, part);
  t.throws(() => parsePolicy(Buffer.from("{")), { code: "lockdown.invalid" });
  t.throws(() => parsePolicy(Buffer.alloc(POLICY_BYTES_MAX + 1, " ")), { code: "lockdown.invalid" });
});

test("[LCK-65] [LCK-66] a policy with a byte order mark, or with a member twice, is refused in words", async (t) => {
  const text = Buffer.from(policyBytes()).toString();
  for (const [given, message] of [
    [text.replace(/^\{/u, '{"mode":"shut",'), /names the member "mode" twice/u],
    [text.replace(/\}$/u, ',"network":{"echo":"any","echo":"none"}}'), /names the member "(?:network|echo)" twice/u],
    [`\ufeff${text}`, /begins with a byte order mark; save it as UTF-8/u],
  ] as const)
    t.match(await faultOf(() => parsePolicy(Buffer.from(given))), { code: "lockdown.invalid", message });
});
