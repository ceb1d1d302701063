// Every event of the catalogue: who can cause its records, and what bounds how many. A new event
// that is not in the table does not compile; one that others cause at will needs a pace. [AUD-12]
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "tap";
import { AUDIT_EVENTS, type AuditEventName, type AuditSource, isAuditEventName } from "../../../warden/audit/format/index.ts";
import { WARDEN_VERBS } from "../../../warden/protocol/format.ts";

/**
 * Who can cause a record: a captured agent, the network or somebody with a plug at will; an owner
 * by signing; a start of the warden; the log itself, about itself.
 */
type Cause = "agent" | "network" | "plug" | "signed" | "start" | "log";

interface Pace {
  readonly by: Cause;
  /** The file that makes the record. */
  readonly in: string;
  /** Where the bound is, when it is in another file. */
  readonly at?: string;
  /** What bounds the number, as the source says it. */
  readonly bound: RegExp;
}

type Of<S extends AuditSource> = {
  [N in AuditEventName]: (typeof AUDIT_EVENTS)[N]["source"] extends S ? N : never;
}[AuditEventName];

/** What may bound what others cause at will. `paced()` makes a limiter of the lockdown's. */
const LIMITERS =
  /paced\(\)|createTokenBucket|createRateLimitedRecorder|HUB_TIME_PERIOD_MS|REMEMBERED_MAX|FINDINGS_RECORDED_MAX|before === 0|keyFingerprint\)/u;

const KEY_UPGRADE = "warden/identity/upgrade.ts";
const ORDERS = "warden/orders/orders.ts";
const TARGETS = "warden/targets/trail.ts";
const LOCKDOWN = "warden/lockdown/trail.ts";
const CHIP = "warden/chip/guard.ts";
const UPDATE = "warden/update/trail.ts";
const WARDEN = "warden/warden.ts";
const TPM = "warden/tpm/trail.ts";
const LOG = "warden/audit/log.ts";
const PENDING = "warden/audit/pending-events.ts";

const refusals: Pace = { by: "agent", in: "warden/protocol/refusals.ts", bound: /createTokenBucket\(clock/u };
const start: Pace = { by: "start", in: WARDEN, bound: /async function recordStart/u };
/** A signature counts once: its nonce is spent before it is recorded. */
const order: Pace = { by: "signed", in: ORDERS, bound: /this\.#nonces\.spend/u };
/** A release is begun at a pace, and everything that follows is one record a step. */
const begun: Pace = {
  by: "agent",
  in: UPDATE,
  at: "warden/update/admission.ts",
  bound: /createTokenBucket\(ports\.clock, BEGINNINGS_BURST_MAX/u,
};
/** A trial needs a counter that was not tried yet, or an order. */
const trial: Pace = { by: "signed", in: LOCKDOWN, at: "warden/lockdown/verbs.ts", bound: /counter/u };
/** One reset is under way at a time, and each takes an order of the owner and a restart. */
const reset: Pace = { by: "signed", in: "warden/reset/trail.ts", at: "warden/reset/machine.ts", bound: /state\.at === "idle"/u };
const pending: Pace = { by: "log", in: PENDING, bound: /pending\.(?:sealed|recovered|dropped)/u };

const PACES = {
  "login.accepted": order,
  "login.refused": { by: "agent", in: ORDERS, bound: /#recordRefusal = createRateLimitedRecorder/u },
  "order.accepted": order,
  "order.refused": { by: "agent", in: ORDERS, bound: /#recordRefusal = createRateLimitedRecorder/u },
  "protocol.refused": refusals,
  "time.refused": refusals,
  "trust.refused": { by: "agent", in: TARGETS, bound: /recordRefusal = createRateLimitedRecorder/u },
  "target.refused": { by: "agent", in: TARGETS, bound: /recordRefusal = createRateLimitedRecorder/u },
  "policy.refused": { by: "agent", in: LOCKDOWN, bound: /policyRefused = paced\(\)/u },
  "update.refused": { by: "agent", in: "warden/update/updates.ts", bound: /recordRefusal = createRateLimitedRecorder/u },
  "warden.started": start,
  "warden.stopped": { ...start, bound: /async stop\(reason\)/u },
  "time.set": {
    by: "agent",
    in: "warden/verbs.ts",
    at: "warden/time/trusted-clock.ts",
    bound: /takenAtMs \+ HUB_TIME_PERIOD_MS/u,
  },
  "identity.read": start,
  "chip.lost": { by: "plug", in: CHIP, bound: /#record = createRateLimitedRecorder/u },
  "chip.found": { by: "plug", in: CHIP, bound: /#record = createRateLimitedRecorder/u },
  "birth.recorded": { by: "agent", in: "warden/identity/birth-marker.ts", bound: /told\.has\(keyFingerprint\)/u },
  "birth.replaced": { by: "agent", in: "warden/identity/birth-marker.ts", bound: /told\.has\(keyFingerprint\)/u },
  "key.upgrade-ordered": { by: "signed", in: KEY_UPGRADE, bound: /planHash !== upgradePlanHash\(plan\)/u },
  "key.upgrade-expired": { by: "signed", in: KEY_UPGRADE, bound: /await this\.#forget\(\)/u },
  "trust.refreshed": { by: "agent", in: TARGETS, bound: /recordRefreshed = createRateLimitedRecorder/u },
  "trust.damaged": { by: "agent", in: TARGETS, bound: /recordRefusal = createRateLimitedRecorder/u },
  "update.begun": begun,
  "update.written": begun,
  "update.trying": begun,
  "update.committed": begun,
  "update.rolled-back": begun,
  "update.failed": begun,
  "system.rebooting": { by: "signed", in: "warden/update/reboot.ts", bound: /before === undefined/u },
  "reset.ordered": reset,
  "reset.chip-kept": { ...reset, bound: /RELEASE_TRIES_MAX/u },
  "reset.done": reset,
  "reset.failed": reset,
  "state.damaged": { by: "start", in: WARDEN, at: "hal/damaged-files.ts", bound: /REMEMBERED_MAX/u },
  "tpm.owned": { by: "agent", in: TPM, bound: /createRateLimitedRecorder/u },
  "tpm.owner-changed": { by: "agent", in: TPM, bound: /createRateLimitedRecorder/u },
  "tpm.lockout": { by: "agent", in: TPM, bound: /createRateLimitedRecorder/u },
  "tpm.released": { by: "agent", in: TPM, bound: /createRateLimitedRecorder/u },
  "tpm.adopted": { by: "start", in: "warden/tpm/adopt.ts", bound: /files\.remove\(RESTORE_FILE\)/u },
  "identity.other-board": { by: "start", in: WARDEN, at: "warden/identity/watch.ts", bound: /isTold = true/u },
  "config.loaded": start,
  "roster.accepted": { by: "signed", in: TARGETS, at: "warden/targets/targets.ts", bound: /rosterAccepted/u },
  "lockdown.enforced": { by: "network", in: LOCKDOWN, bound: /enforced = paced\(\)/u },
  "lockdown.pending": trial,
  "lockdown.confirmed": trial,
  "lockdown.reverted": trial,
  "lockdown.shut": { by: "network", in: LOCKDOWN, bound: /shut = paced\(\)/u },
  "lockdown.unknown": { by: "network", in: LOCKDOWN, bound: /notKnown = paced\(\)/u },
  "lockdown.known": { by: "network", in: LOCKDOWN, bound: /notKnown = paced\(\)/u },
  "lockdown.restored": {
    by: "network",
    in: LOCKDOWN,
    bound: /restored = paced\(\)[^;]*;[^;]*meddled = paced\(\s*MEDDLING_RECORDS_BURST_MAX/u,
  },
  "usb.refused": { by: "plug", in: LOCKDOWN, bound: /usbRefused = paced\(\)/u },
  "usb.missed": { by: "plug", in: LOCKDOWN, bound: /usbMissed = paced\(\)/u },
  "usb.allowed": { by: "plug", in: LOCKDOWN, bound: /usbAllowed = paced\(\)/u },
  "lockdown.switch-fired": { by: "start", in: LOCKDOWN, bound: /switchFired = paced\(\)/u },
  "audit.started": { by: "start", in: LOG, bound: /recordStart\(\)/u },
  "audit.recovered": pending,
  "audit.dropped": pending,
  "audit.witnessed": { by: "agent", in: "warden/verbs.ts", bound: /before === 0/u },
  "audit.witness-refused": refusals,
  "audit.tampered": { by: "agent", in: LOG, bound: /FINDINGS_RECORDED_MAX\)/u },
  "audit.renamed": pending,
} as const satisfies Readonly<Record<Of<"warden">, Pace>>;

const source = (path: string): string => readFileSync(path, "utf8");

test("[AUD-12] every event of the warden has a cause and a bound, and those that others cause at will have a limiter", async (t) => {
  for (const [event, pace] of Object.entries<Pace>(PACES)) {
    t.ok(source(pace.in).includes(`"${event}"`), `${event} is recorded in ${pace.in}`);
    const [found = ""] = pace.bound.exec(source(pace.at ?? pace.in)) ?? [];
    t.ok(found.length > 0, `${event} is bounded by ${String(pace.bound)}`);
    if (["agent", "network", "plug"].includes(pace.by)) t.match(found, LIMITERS, `${event}: caused by the ${pace.by}`);
  }
});

test("[AUD-12] no other file of the warden records an event", async (t) => {
  const files = readdirSync("warden", { recursive: true }).map((name) => join("warden", String(name)));
  for (const path of files.filter((name) => name.endsWith(".ts") && !name.includes("/format")))
    for (const [, event = ""] of source(path).matchAll(/\bevent: "([a-z.-]+)"/gu))
      if (isAuditEventName(event)) t.ok(recordedIn(event).includes(path), `${event} in ${path}`);
});

/** The log records its own findings while it is open, and at a start those that wait. */
function recordedIn(event: AuditEventName): readonly string[] {
  const pace: Pace | undefined = Object.hasOwn(PACES, event)
    ? new Map<string, Pace>(Object.entries(PACES)).get(event)
    : undefined;
  return pace === undefined ? [] : [pace.in, ...(event === "audit.tampered" ? [PENDING] : [])];
}

test("[AUD-26] every event of the agent goes through the one verb that is limited in bytes", async (t) => {
  t.equal(WARDEN_VERBS["audit.append"].limiter, "appended-bytes");
  const agents = Object.entries(AUDIT_EVENTS).filter(([, { source: by }]) => by === "agent");
  t.ok(agents.length > 0);
  const files = readdirSync("warden", { recursive: true }).map((name) => join("warden", String(name)));
  for (const path of files.filter((name) => name.endsWith(".ts") && !name.endsWith("format/events.ts")))
    for (const [event] of agents)
      t.notOk(source(path).includes(`event: "${event}"`), `the warden does not record ${event}: ${path}`);
});
