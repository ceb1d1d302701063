import { readFileSync } from "node:fs";
import { test } from "tap";
import { check } from "../../../../hal/format/schema.ts";
import { clip } from "../../../../hal/format/text.ts";
import { canonicalJson, type JsonValue } from "../../../../hal/format/json.ts";
import {
  AUDIT_CATEGORIES,
  AUDIT_DETAIL_MEMBERS_MAX,
  AUDIT_EVENTS,
  AUDIT_RECORD_BYTES_MAX,
  AUDIT_SEVERITIES,
  type AuditContext,
  type AuditEntry,
  auditEntrySchema,
  auditRecord,
  decodeAuditRecord,
  encodeAuditRecord,
  isAuditEventName,
} from "../../../../warden/audit/format/index.ts";
import { checkpointVectors } from "../../../lab/runner/audit-vectors.ts";

const vectors = checkpointVectors(readFileSync(new URL("../../../vectors/audit/checkpoint.json", import.meta.url), "utf8"));

const context: AuditContext = {
  seq: 2,
  atMs: Date.UTC(2026, 10, 22, 8, 0, 2),
  monotonicMs: 1520.75,
  bootId: "3f0c6d0e-8f5e-4c8e-9f6a-0f5b6d1f2a3b",
  clockSynced: true,
};
const entry: AuditEntry = { event: "tunnel.connected", result: "ok", detail: { group: "X25519MLKEM768", resumed: false } };

function changed(change: Readonly<Record<string, JsonValue>>): Uint8Array {
  return Buffer.from(canonicalJson({ ...auditRecord(entry, context), ...change }));
}

test("[AUD-1] [AUD-2] [AUD-3] the records of the vectors are reproduced byte for byte", async (t) => {
  t.equal(Buffer.from(encodeAuditRecord(auditRecord(entry, context))).toString("utf8"), vectors.records[2]);
  for (const record of vectors.records) {
    const decoded = decodeAuditRecord(Buffer.from(record));
    t.equal(Buffer.from(encodeAuditRecord(decoded)).toString("utf8"), record);
  }
});

test("[AUD-2] category, severity, number and source come from the catalogue", async (t) => {
  for (const [event, kind] of Object.entries(AUDIT_EVENTS)) {
    if (!isAuditEventName(event)) throw t.fail(event);
    const { id, category, severity, source } = auditRecord({ event, result: "ok" }, context);
    t.match(kind, { id, category, severity, source });
    t.doesNotThrow(() => decodeAuditRecord(encodeAuditRecord(auditRecord({ event, result: "ok" }, context))));
  }
});

test("the catalogue has no number twice, numbers in the range of their category, and closed lists", async (t) => {
  const kinds = Object.values(AUDIT_EVENTS);
  t.equal(new Set(kinds.map(({ id }) => id)).size, kinds.length);
  for (const { category, severity } of kinds) {
    t.ok(AUDIT_CATEGORIES.includes(category));
    t.ok(AUDIT_SEVERITIES.includes(severity));
  }
  for (const name of ["toString", "__proto__", "constructor", ""]) t.notOk(isAuditEventName(name), name);
});

test("[AUD-1] a record of 4,096 bytes is taken, one of 4,097 refused", async (t) => {
  const detail = (length: number) => Object.fromEntries(Array.from({ length: 7 }, (_, i) => [`d${i}`, "x".repeat(length)]));
  const bytesAt = (length: number, extra: number) =>
    auditRecord({ ...entry, detail: { ...detail(length), e: "x".repeat(extra) } }, context);
  const base = encodeAuditRecord(bytesAt(500, 0)).byteLength;
  const exact = encodeAuditRecord(bytesAt(500, AUDIT_RECORD_BYTES_MAX - base));
  t.equal(exact.byteLength, AUDIT_RECORD_BYTES_MAX);
  t.throws(() => encodeAuditRecord(bytesAt(500, AUDIT_RECORD_BYTES_MAX - base + 1)), { code: "audit.too-large" });
  t.doesNotThrow(() => decodeAuditRecord(exact));
  t.throws(() => decodeAuditRecord(Buffer.concat([exact, Buffer.from(" ")])), { code: "json.too-large" });
});

test("[AUD-3] a broken clock does not stop the log", async (t) => {
  for (const [atMs, at] of [
    [-1, "1970-01-01T00:00:00.000Z"],
    [0, "1970-01-01T00:00:00.000Z"],
    [Date.UTC(2099, 0, 1), "2099-01-01T00:00:00.000Z"],
    [Date.UTC(12_000, 0, 1), "9999-12-31T23:59:59.999Z"],
  ] as const) {
    const record = auditRecord(entry, { ...context, atMs, monotonicMs: -0.5 });
    t.equal(record.at, at);
    t.equal(record.mono, 0);
    t.doesNotThrow(() => decodeAuditRecord(encodeAuditRecord(record)));
  }
});

test("a reader that is older than the writer reads events it does not know", async (t) => {
  t.equal(decodeAuditRecord(changed({ event: "lockdown.pending", id: 5100 })).event, "lockdown.pending");
});

test("a record that no warden writes is refused", async (t) => {
  const cases: Record<string, Readonly<Record<string, JsonValue>>> = {
    "an unknown member": { more: 1 },
    "another version": { v: 2 },
    "a fraction as number": { seq: 0.5 },
    "a negative number": { seq: -1 },
    "a time without milliseconds": { at: "2026-11-22T08:00:02Z" },
    "a day that does not exist": { at: "2026-02-30T08:00:02.000Z" },
    "a time with an offset": { at: "2026-11-22T08:00:02.000+00:00" },
    "an unknown source": { source: "hub" },
    "an unknown category": { category: "other" },
    "an event that is not a name": { event: "Tunnel Connected" },
    "a nested detail": { detail: { a: { b: 1 } } },
    "a list in the detail": { detail: { a: [1] } },
    "a fraction in the detail": { detail: { a: 0.5 } },
    "a member name with a space": { detail: { "a b": 1 } },
    "too many members": {
      detail: Object.fromEntries(Array.from({ length: AUDIT_DETAIL_MEMBERS_MAX + 1 }, (_, i) => [`d${i}`, i])),
    },
    "a long text": { detail: { a: "x".repeat(513) } },
    "an empty principal": { principal: "" },
    "a boot id of another form": { boot: "BOOT" },
  };
  for (const [name, change] of Object.entries(cases))
    t.throws(() => decodeAuditRecord(changed(change)), { code: "schema.invalid" }, name);
});

test("[AUD-1] text that ends in the middle of a character is refused when it is reported, not when it is written", async (t) => {
  const cut = `${"x".repeat(511)}\u{1f600}`;
  const halves: Record<string, unknown> = {
    detail: { ...entry, detail: { why: cut.slice(0, 512) } },
    principal: { ...entry, principal: "operator \ud83d" },
    correlation: { ...entry, correlation: "\ude00" },
  };
  for (const [member, half] of Object.entries(halves))
    t.throws(
      () => check(auditEntrySchema, half, "entry"),
      { code: "schema.invalid", message: /well-formed text: a lone surrogate has no canonical JSON/ },
      member,
    );
  const clipped = check(auditEntrySchema, { ...entry, detail: { why: clip(cut, 512) } }, "entry");
  t.equal(decodeAuditRecord(encodeAuditRecord(auditRecord(clipped, context))).detail?.["why"], "x".repeat(511));
});

test("[AUD-1] a second spelling of a record is refused", async (t) => {
  const text = vectors.records[0] ?? "";
  const cases: Record<string, string> = {
    "white space": text.replace(",", ", "),
    "another order": `{"v":1,${text.slice(1).replace(',"v":1', "")}`,
    "a duplicate member": text.replace('"v":1', '"v":1,"v":1'),
    "a second spelling of a number": text.replace('"id":7001', '"id":7.001e3'),
    "an escape that is not needed": text.replace("warden", "\\u0077arden"),
  };
  for (const [name, spelling] of Object.entries(cases))
    t.throws(() => decodeAuditRecord(Buffer.from(spelling)), { code: "json.not-canonical" }, name);
});
