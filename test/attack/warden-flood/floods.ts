// The floods of a captured agent: what costs the warden most within the bounds of a line, for each
// verb and beside the verbs. A verb without a flood does not compile.
import type { WardenVerb } from "../../../warden/protocol/format.ts";

/** A little under the bound of a line. */
const LINE_BYTES = 65_000;
const HELLO = '{"id":1,"verb":"hello","args":{"protocol":1,"program":"captured"}}\n';

/**
 * `writes` as fast as the warden takes it; `connects` and closes at once; `leaves` in the middle of
 * a line; `drips` a byte in each write; `deaf` writes and never reads an answer.
 */
type Manner = "writes" | "connects" | "leaves" | "drips" | "deaf";

export interface Flood {
  /** Written on each new connection until it ends, again and again. Empty: only connects. */
  readonly lines: readonly string[];
  readonly manner: Manner;
}

const ones = Array.from({ length: LINE_BYTES / 2 - 200 }, () => 1);
const request = (verb: string, args: unknown): string => `${JSON.stringify({ id: 2, verb, args })}\n`;
const paths = Array.from({ length: 16 }, (_, n) => `metadata/${n}${"x".repeat(240)}`);
const hex = "5a".repeat(32);

/** A policy whose plan has as much to sort, merge and print as the bounds allow. */
function worstPolicy(): string {
  const ports = Array.from({ length: 16 }, (_, n) => 60_000 - 2 * n);
  const inbound = Array.from({ length: 64 }, (_, n) => ({
    link: `eth${n % 16}`,
    protocol: n % 2 === 0 ? "tcp" : "udp",
    ports,
    from: n % 3 === 0 ? "any" : "management",
  }));
  const outbound = Array.from({ length: 64 }, (_, n) => ({ protocol: "tcp", ports: [n + 1, 40_000 + n], to: [`10.${n}.0.1`] }));
  return JSON.stringify({
    v: 1,
    mode: "enforce",
    links: Array.from({ length: 16 }, (_, n) => ({ name: `eth${n}`, dhcp4: true, dhcp6: true, ipv6: true })),
    network: { management: Array.from({ length: 32 }, (_, n) => `198.18.${n}.1`), inbound, outbound, echo: "management" },
    serial: { console: "ttyS0" },
    confirmKeys: ["MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="],
  });
}

/** Arguments that pass the schema of each verb, and cost most behind it. */
const WORST: { readonly [V in WardenVerb]: unknown } = {
  hello: { protocol: 1, program: "x".repeat(64) },
  "identity.read": {},
  "birth.record": { protection: "file", keyFingerprint: `sha256:${hex}` },
  "birth.replace": { protection: "tpm", keyFingerprint: `sha256:${hex}` },
  "key.offer": { protection: "tpm" },
  "audit.append": {
    event: "hub.untrusted",
    result: "refused",
    detail: Object.fromEntries(Array.from({ length: 7 }, (_, n) => [`lie${n}`, "x".repeat(512)])),
  },
  "audit.read": { from: 0, count: 64 },
  "audit.checkpoint": { oldSize: 1 },
  "audit.cosigned": { checkpoint: `sallyport/1/x\n1\n${"A".repeat(43)}=\n\n${"\u2014 a AAAA\n".repeat(600)}` },
  "status.read": {},
  "tpm.read": {},
  "time.nonce": {},
  "time.set": { deviceId: "GW-4711", nonce: hex, time: "2027-01-01T00:00:00.000Z", signature: `${"A".repeat(86)}==` },
  "trust.refresh": { absent: paths },
  "lockdown.read": {},
  "lockdown.preview": { policy: Buffer.from(worstPolicy()).toString("base64") },
  "lockdown.enforced": { of: "now" },
  "lockdown.propose": {},
  "order.nonce": { verb: "system.reboot" },
  "order.submit": {
    verb: "lockdown.confirm",
    order: JSON.stringify({
      payloadType: "application/vnd.sallyport.order+json",
      payload: "e30=",
      signatures: Array.from({ length: 60 }, () => ({ keyid: hex, sig: "A".repeat(12) })),
    }),
  },
  "order.signer": { keyid: hex },
  "tpm.escrow": {},
  "tpm.escrowed": { note: `sallyport/escrow/1/x\n1\n\n${"\u2014 a AAAA\n".repeat(600)}` },
  "reset.plan": {},
  "update.read": {},
  "update.begin": { target: "os/gateway-9", absent: paths },
  "update.write": { part: "root", from: 0, to: 1_000_000 },
  "update.abandon": { code: "index.invalid", message: "x".repeat(200) },
};

/**
 * As many faults as a line can hold: in the member that is a list where the verb has one, else in
 * unknown members.
 */
function wrong(verb: string, args: unknown): string {
  const members = Object.entries(typeof args === "object" && args !== null ? args : {});
  const list = members.find(([, value]) => Array.isArray(value))?.[0];
  if (list !== undefined) return request(verb, { ...Object.fromEntries(members), [list]: ones });
  const unknown = Array.from({ length: LINE_BYTES / 10 - 500 }, (_, n) => [`x${n}`, 1] as const);
  return request(verb, Object.fromEntries(unknown));
}

function lines(...all: readonly string[]): Flood {
  return { lines: all, manner: "writes" };
}

export const FLOODS: Readonly<Record<string, Flood>> = {
  "invalid lines": lines(`${"{".repeat(20)}\n`),
  "64 KiB lines that are no requests": lines(`${JSON.stringify({ id: ones })}\n`),
  "lines without end": lines("x".repeat(2 * LINE_BYTES)),
  "as many faults as a line holds": lines(request("trust.refresh", { absent: ones })),
  "unknown verbs": lines(request("shell.run", {}), request("x".repeat(64), { a: ones })),
  "many connections": { lines: [], manner: "connects" },
  "half lines, and away": { lines: ["x".repeat(LINE_BYTES)], manner: "leaves" },
  "valid cheap requests": lines(request("identity.read", {}).repeat(64)),
  "a byte at a time": { lines: [request("audit.append", WORST["audit.append"])], manner: "drips" },
  "answers that nobody reads": { lines: [request("audit.read", WORST["audit.read"]).repeat(16)], manner: "deaf" },
  ...Object.fromEntries(
    Object.entries(WORST).map(([verb, args]) => [verb, lines(request(verb, args).repeat(16), wrong(verb, args))]),
  ),
  "every verb at once": lines(...Object.entries(WORST).flatMap(([verb, args]) => [request(verb, args), wrong(verb, args)])),
};

export const GREETING = HELLO;
