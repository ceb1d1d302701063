// The lockdown as a service of the warden: opened on this machine, watched, reported, and open to
// the agent's requests.
import { asFault, Fault, type FaultCode } from "../../hal/fault.ts";
import { clip } from "../../hal/format/text.ts";
import type { DeviceId } from "../../hal/format/identity.ts";
import type {
  Clock,
  DeadManSwitch,
  DurableFiles,
  Firewall,
  Network,
  UsbEvents,
  UsbTree,
  WatchedFirewall,
} from "../../hal/ports.ts";
import type { AuditEntry } from "../audit/format/index.ts";
import type { UpdateStatus } from "../update/format.ts";
import { type LockdownState, parsePolicy, type Policy } from "./format/index.ts";
import { REPORT_PERIOD_MS, REPORTS_REMEMBERED_MAX } from "./limits.ts";
import { type Lockdown, openLockdown } from "./lockdown.ts";
import { isTableAmong } from "./apply.ts";
import { type Guard, guardTable } from "./guard.ts";
import { Meddling } from "./meddling.ts";
import { readProtected } from "./protected.ts";
import { stateView } from "./view.ts";
import type { HubEndpoint } from "./machine-facts.ts";
import type { PolicyTrial } from "./status.ts";
import { createTrail } from "./trail.ts";
import { createNoFirewall, UNFILTERED } from "./no-firewall.ts";
import { type LockdownVerbs, createLockdownVerbs, type SignedPolicy } from "./verbs.ts";
import { watchLockdown } from "./watch.ts";

export interface LockdownOptions {
  /** Undefined when the configuration says that there is none. */
  readonly firewall: Firewall | WatchedFirewall | undefined;
  /** Reverts a policy on trial when the warden does not. Undefined where nothing is filtered. */
  readonly deadManSwitch: DeadManSwitch | undefined;
  /** Called again and again while deadlines are served. */
  readonly heartbeat: () => void;
  readonly usb: UsbTree;
  /** [LCK-70] Undefined where this machine's events cannot be followed. */
  readonly usbEvents?: UsbEvents | undefined;
  readonly network: Network;
  /** The directory of the lockdown's record. */
  readonly files: DurableFiles;
  readonly clock: Clock;
  readonly deviceId: DeviceId;
  /** The tty of the maintenance console, without /dev/. */
  readonly console: string | undefined;
  /** Every way to the hub that must stay open. */
  readonly hubEndpoints: readonly HubEndpoint[];
  /** The image's policy; undefined when it cannot be read. */
  readonly base: Uint8Array | undefined;
  /** [ID-72] Why the doors are shut from the start on. */
  readonly held?: FaultCode | undefined;
  /** Whether the wall clock may judge an order's time. */
  readonly clockTrusted: () => boolean;
  readonly policy: () => SignedPolicy | undefined;
  readonly record: (entry: AuditEntry) => Promise<void>;
  /** For the journal. */
  readonly report: (fault: Fault) => void;
}

export interface LockdownService {
  readonly verbs: LockdownVerbs;
  state(this: void): LockdownState;
  /** The plan hash of the policy on trial, which an order must name. */
  planHash(this: void): string | undefined;
  trial(this: void): PolicyTrial | undefined;
  /** @returns the id of the key that signed. @throws as {@link Lockdown.confirm}. */
  confirm(this: void, order: Uint8Array | string): Promise<string>;
  /** @returns and throws as {@link Lockdown.revert}. */
  revert(this: void, order: Uint8Array | string): Promise<string>;
  /**
   * [OTA-43] Whether the plan is in force. Never a final failure: a plan that cannot be put in
   * force is tried again, and the trial of a system has an end of its own.
   */
  healthy(this: void): Pick<NonNullable<UpdateStatus["health"]>[number], "verdict" | "detail">;
  /** [ID-72] As {@link Lockdown.hold}. */
  hold(this: void, reason: FaultCode | undefined): Promise<void>;
  /** [LCK-68] As {@link Lockdown.restarting}, {@link Lockdown.staying}. */
  restarting(this: void): Promise<void>;
  staying(this: void): void;
  /** Reverts an unconfirmed policy. A confirmed policy stays in force. */
  stop(this: void): Promise<void>;
  troubles(this: void): readonly Fault[];
}

/**
 * Resolves when the network rules and USB rules are in force, or everything is shut. Await it
 * before the network comes up.
 */
export async function startLockdown(options: LockdownOptions): Promise<LockdownService> {
  const { clock, usb, policy } = options;
  const unenforced = options.firewall === undefined ? [UNFILTERED] : [];
  const base = basePolicy(options.base);
  const reports = createFaultReports(options);
  if (base instanceof Fault) reports.report(base);
  const trail = createTrail({ clock, record: recordWith(options) }, unenforced);
  const meddling = new Meddling();
  let guard: Guard | undefined;
  const lockdown = await openLockdown(
    {
      firewall: options.firewall ?? createNoFirewall(),
      deadManSwitch: options.deadManSwitch,
      usb,
      files: options.files,
      clock,
      readFacts: () => readProtected(options),
      clockTrusted: options.clockTrusted,
      audit: (report, inForce) => {
        if (report.kind === "restored" && isTableAmong(report.what)) {
          meddling.note({ by: report.by ?? "unknown" }, clock.monotonicMs());
          // only a comparison found it
          if (report.by === undefined) guard?.missed();
        }
        trail.audit(report, inForce);
      },
      report: reports.report,
    },
    { deviceId: options.deviceId, base: base instanceof Fault ? undefined : base, held: options.held },
  );
  const unread = lockdown.unread();
  if (unread !== undefined) reports.report(unread);
  const lost = reports.recent().filter(({ code }) => /^(?:file|json|schema)\./u.test(code));
  const state = (): LockdownState =>
    stateView(lockdown.status(), unenforced, lockdown.notKnown(), meddling.state(clock.monotonicMs()));
  const ending = new AbortController();
  const watching = watchLockdown(
    { lockdown, usb, usbEvents: options.usbEvents, clock, trail, report: reports.report, onTurn: options.heartbeat },
    ending.signal,
  );
  guard = guardOf(options, lockdown, reports.report, ending.signal);
  return {
    verbs: createLockdownVerbs({ lockdown, state, clock, trail, policy }),
    state,
    planHash: () => lockdown.status().trial?.planHash,
    trial: () => lockdown.status().trial,
    confirm: (order) => lockdown.confirm(order),
    revert: (order) => lockdown.revert(order),
    hold: (reason) => lockdown.hold(reason),
    restarting: () => lockdown.restarting(),
    staying: () => lockdown.staying(),
    healthy: () => healthOf(lockdown, reports.recent().at(-1)),
    stop: async () => {
      ending.abort();
      await Promise.all([watching, guard?.ended]);
      await lockdown.stop();
    },
    troubles: () => [
      ...(unenforced.length === 0 ? [] : [new Fault("lockdown.not-enforced", UNFILTERED)]),
      ...(base instanceof Fault ? [base] : []),
      ...[lockdown.unread(), meddling.trouble(clock.monotonicMs())].filter((fault) => fault !== undefined),
      ...notKnownFault(lockdown.notKnown()),
      ...(lockdown.status().at === "shut" ? reports.recent().slice(-1) : lost),
    ],
  };
}

/** A packet filter that tells nothing is only compared, every few seconds. */
function guardOf(
  { firewall, clock }: Pick<LockdownOptions, "firewall" | "clock">,
  lockdown: Lockdown,
  report: (fault: Fault) => void,
  signal: AbortSignal,
): Guard | undefined {
  if (firewall === undefined || !("watch" in firewall)) return undefined;
  return guardTable({ lockdown, firewall, clock, report }, signal);
}

/** [LCK-30] A policy that cannot be trusted counts as none. */
function basePolicy(bytes: Uint8Array | undefined): Policy | Fault {
  const until = "everything is shut except the way to the hub until a signed policy is confirmed";
  if (bytes === undefined) return new Fault("lockdown.invalid", `read the base policy: there is none; ${until}`);
  try {
    return parsePolicy(bytes);
  } catch (error) {
    const { message } = asFault(error, "lockdown.invalid", "read the base policy");
    return new Fault("lockdown.invalid", `the base policy: ${message}; ${until}`, { cause: error });
  }
}

/** [LCK-40] */
function notKnownFault(sentences: readonly string[]): readonly Fault[] {
  if (sentences.length === 0) return [];
  return [new Fault("lockdown.unknown", `look at the machine: ${sentences.join("; ")}; a policy that names it ends this`)];
}

function healthOf(lockdown: Lockdown, fault: Fault | undefined): ReturnType<LockdownService["healthy"]> {
  const { at, counter, held } = lockdown.status();
  // a system that does not find its own chip may lack the driver: it is not kept [ID-72]
  if (held !== undefined) return { verdict: "waiting", detail: `the doors are shut: ${held}` };
  const unread = lockdown.unread();
  if (unread !== undefined && at === "confirmed") return { verdict: "waiting", detail: clip(unread.message, 256) };
  switch (at) {
    case "shut":
      return { verdict: "waiting", detail: clip(`everything is shut: ${fault?.message ?? "no reason known"}`, 256) };
    case "changing":
      return { verdict: "waiting", detail: "a policy is being put in force" };
    case "base":
      return { verdict: "passed", detail: "the base policy is in force" };
    case "confirmed":
    case "pending":
      return { verdict: "passed", detail: `policy ${counter ?? 0} is in force${at === "pending" ? ", on trial" : ""}` };
  }
}

interface FaultReports {
  report(this: void, fault: Fault): void;
  /** The last reports, oldest first, each once. */
  recent(): readonly Fault[];
}

/** A lasting failure occurs again at every check, and is reported once an hour only. */
function createFaultReports({ clock, report }: Pick<LockdownOptions, "clock" | "report">): FaultReports {
  const seen = new Map<string, { readonly fault: Fault; readonly atMs: number }>();
  return {
    report: (fault) => {
      const text = `${fault.code} ${fault.message}`;
      const before = seen.get(text);
      const again = before !== undefined && clock.monotonicMs() - before.atMs < REPORT_PERIOD_MS;
      seen.delete(text); // so that the latest is listed last
      seen.set(text, { fault, atMs: again ? before.atMs : clock.monotonicMs() });
      const [oldest] = seen.keys();
      if (seen.size > REPORTS_REMEMBERED_MAX && oldest !== undefined) seen.delete(oldest);
      if (!again) report(fault);
    },
    recent: () => [...seen.values()].map(({ fault }) => fault),
  };
}

/** What was done stands, whether it can be recorded or not. */
function recordWith({ record, report }: Pick<LockdownOptions, "record" | "report">): (entry: AuditEntry) => void {
  return (entry) => {
    record(entry).catch((error: unknown) => report(asFault(error, "audit.write-failed", `record "${entry.event}"`)));
  };
}
