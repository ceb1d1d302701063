// The catalogue of audit events. Numbers and names are an interface for SIEM rules: append events,
// never rename or reuse them. [AUD-2]

/** IEC 62443-4-2 CR 2.8, categories a to f. */
export const AUDIT_CATEGORIES = ["access", "request", "system", "backup", "configuration", "audit"] as const;
export type AuditCategory = (typeof AUDIT_CATEGORIES)[number];

export const AUDIT_SEVERITIES = ["info", "notice", "warning", "high"] as const;
export type AuditSeverity = (typeof AUDIT_SEVERITIES)[number];

/**
 * The program that may append the event. What the agent reports is marked as the agent's, and the
 * agent cannot report what only the warden knows.
 */
export type AuditSource = "warden" | "agent";

interface EventKind {
  readonly id: number;
  readonly category: AuditCategory;
  readonly severity: AuditSeverity;
  readonly source: AuditSource;
  /**
   * Authority was granted or used, or what the machine lets in has changed. Such records have
   * reserved room in the log. [AUD-13]
   */
  readonly authority?: true;
}

export const AUDIT_EVENTS = {
  "console.opened": { id: 1001, category: "access", severity: "info", source: "agent" },
  "console.closed": { id: 1002, category: "access", severity: "info", source: "agent" },
  "login.accepted": { id: 1003, category: "access", severity: "notice", source: "warden", authority: true },
  "login.refused": { id: 1004, category: "access", severity: "warning", source: "warden" },
  "operation.allowed": { id: 1101, category: "access", severity: "info", source: "agent" },
  "operation.denied": { id: 1102, category: "access", severity: "warning", source: "agent" },
  "order.accepted": { id: 1201, category: "access", severity: "notice", source: "warden", authority: true },
  "order.refused": { id: 1202, category: "access", severity: "warning", source: "warden" },
  "input.refused": { id: 2001, category: "request", severity: "warning", source: "agent" },
  "protocol.refused": { id: 2002, category: "request", severity: "warning", source: "warden" },
  "time.refused": { id: 2003, category: "request", severity: "warning", source: "warden" },
  "trust.refused": { id: 2004, category: "request", severity: "high", source: "warden" },
  "target.refused": { id: 2005, category: "request", severity: "warning", source: "warden" },
  "policy.refused": { id: 2006, category: "request", severity: "warning", source: "warden" },
  "update.refused": { id: 2007, category: "request", severity: "warning", source: "warden" },
  "warden.started": { id: 3001, category: "system", severity: "notice", source: "warden" },
  "warden.stopped": { id: 3002, category: "system", severity: "notice", source: "warden" },
  "agent.started": { id: 3003, category: "system", severity: "notice", source: "agent" },
  "agent.stopped": { id: 3004, category: "system", severity: "notice", source: "agent" },
  "time.set": { id: 3005, category: "system", severity: "notice", source: "warden" },
  "identity.read": { id: 3006, category: "system", severity: "info", source: "warden" },
  "key.created": { id: 3010, category: "system", severity: "notice", source: "agent" },
  "key.unavailable": { id: 3011, category: "system", severity: "high", source: "agent" },
  "chip.lost": { id: 3015, category: "system", severity: "high", source: "warden" },
  "chip.found": { id: 3016, category: "system", severity: "notice", source: "warden" },
  "birth.recorded": { id: 3012, category: "system", severity: "notice", source: "warden" },
  "enrolment.requested": { id: 3020, category: "system", severity: "notice", source: "agent" },
  "enrolment.completed": { id: 3021, category: "system", severity: "notice", source: "agent" },
  "enrolment.failed": { id: 3022, category: "system", severity: "warning", source: "agent" },
  "certificate.renewed": { id: 3023, category: "system", severity: "notice", source: "agent" },
  "certificate.expired": { id: 3024, category: "system", severity: "high", source: "agent" },
  "tunnel.connected": { id: 3030, category: "system", severity: "notice", source: "agent" },
  "tunnel.disconnected": { id: 3031, category: "system", severity: "notice", source: "agent" },
  "tunnel.refused": { id: 3032, category: "system", severity: "warning", source: "agent" },
  "tunnel.kicked": { id: 3033, category: "system", severity: "high", source: "agent" },
  "hub.untrusted": { id: 3034, category: "system", severity: "high", source: "agent" },
  "spool.dropped": { id: 3040, category: "system", severity: "warning", source: "agent" },
  "spool.set-aside": { id: 3144, category: "system", severity: "warning", source: "agent" },
  "spool.paused": { id: 3145, category: "system", severity: "warning", source: "agent" },
  "trust.refreshed": { id: 3050, category: "system", severity: "info", source: "warden" },
  "trust.damaged": { id: 3051, category: "system", severity: "warning", source: "warden" },
  "update.begun": { id: 3060, category: "system", severity: "notice", source: "warden" },
  "update.written": { id: 3061, category: "system", severity: "notice", source: "warden" },
  "update.trying": { id: 3062, category: "system", severity: "notice", source: "warden" },
  "update.committed": { id: 3063, category: "system", severity: "notice", source: "warden", authority: true },
  "update.rolled-back": { id: 3064, category: "system", severity: "high", source: "warden" },
  "update.failed": { id: 3065, category: "system", severity: "warning", source: "warden" },
  "system.rebooting": { id: 3070, category: "system", severity: "notice", source: "warden", authority: true },
  "state.damaged": { id: 3080, category: "system", severity: "warning", source: "warden" },
  "agent.damaged": { id: 3081, category: "system", severity: "warning", source: "agent" },
  "tpm.owned": { id: 3090, category: "system", severity: "notice", source: "warden", authority: true },
  "tpm.owner-changed": { id: 3091, category: "system", severity: "high", source: "warden" },
  "tpm.lockout": { id: 3092, category: "system", severity: "warning", source: "warden" },
  "tpm.released": { id: 3093, category: "system", severity: "notice", source: "warden", authority: true },
  "tpm.adopted": { id: 3096, category: "system", severity: "notice", source: "warden", authority: true },
  "reset.ordered": { id: 3100, category: "system", severity: "warning", source: "warden", authority: true },
  "reset.chip-kept": { id: 3101, category: "system", severity: "notice", source: "warden" },
  "reset.done": { id: 3102, category: "system", severity: "warning", source: "warden", authority: true },
  "reset.failed": { id: 3103, category: "system", severity: "high", source: "warden" },
  "key.file-beside-tpm": { id: 3110, category: "system", severity: "warning", source: "agent" },
  "key.upgrade-ordered": { id: 3111, category: "system", severity: "notice", source: "warden", authority: true },
  "key.upgrade-expired": { id: 3112, category: "system", severity: "warning", source: "warden" },
  "key.upgrade-failed": { id: 3113, category: "system", severity: "warning", source: "agent" },
  "birth.replaced": { id: 3114, category: "system", severity: "notice", source: "warden", authority: true },
  "key.replaced": { id: 3115, category: "system", severity: "notice", source: "agent" },
  "identity.other-board": { id: 3135, category: "system", severity: "high", source: "warden" },
  "identity.board-admitted": { id: 3136, category: "system", severity: "notice", source: "agent" },
  "clock.stepped": { id: 3139, category: "system", severity: "warning", source: "agent" },
  "lockdown.unknown": { id: 3120, category: "system", severity: "warning", source: "warden" },
  "lockdown.known": { id: 3121, category: "system", severity: "notice", source: "warden" },
  "config.loaded": { id: 5001, category: "configuration", severity: "notice", source: "warden" },
  "roster.accepted": { id: 5010, category: "configuration", severity: "notice", source: "warden", authority: true },
  "lockdown.enforced": { id: 5020, category: "configuration", severity: "notice", source: "warden", authority: true },
  "lockdown.pending": { id: 5021, category: "configuration", severity: "notice", source: "warden", authority: true },
  "lockdown.confirmed": { id: 5022, category: "configuration", severity: "notice", source: "warden", authority: true },
  "lockdown.reverted": { id: 5023, category: "configuration", severity: "warning", source: "warden" },
  "lockdown.shut": { id: 5024, category: "configuration", severity: "high", source: "warden", authority: true },
  "lockdown.restored": { id: 5025, category: "configuration", severity: "warning", source: "warden" },
  "usb.refused": { id: 5026, category: "configuration", severity: "warning", source: "warden" },
  "usb.missed": { id: 3148, category: "configuration", severity: "warning", source: "warden" },
  "usb.allowed": { id: 5027, category: "configuration", severity: "notice", source: "warden", authority: true },
  "lockdown.switch-fired": { id: 5030, category: "configuration", severity: "warning", source: "warden" },
  "audit.started": { id: 7001, category: "audit", severity: "notice", source: "warden" },
  "audit.recovered": { id: 7002, category: "audit", severity: "warning", source: "warden" },
  "audit.dropped": { id: 7003, category: "audit", severity: "high", source: "warden" },
  "audit.witnessed": { id: 7004, category: "audit", severity: "info", source: "warden" },
  "audit.witness-refused": { id: 7005, category: "audit", severity: "high", source: "warden" },
  "audit.tampered": { id: 7006, category: "audit", severity: "high", source: "warden" },
  "audit.renamed": { id: 7007, category: "audit", severity: "high", source: "warden" },
} as const satisfies Readonly<Record<string, EventKind>>;

export type AuditEventName = keyof typeof AUDIT_EVENTS;

/** Whether records of `event` have the room that is reserved for granted authority. [AUD-13] */
export function isAuthority(event: AuditEventName): boolean {
  const kind: EventKind = AUDIT_EVENTS[event];
  return kind.authority === true;
}

export function isAuditEventName(name: string): name is AuditEventName {
  return Object.hasOwn(AUDIT_EVENTS, name);
}
