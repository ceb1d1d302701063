// What a flood of refused messages costs: lines in the journal and records in the audit trail.
import { test } from "tap";
import { createEventLog } from "../../../agent/hub-session/events.ts";
import { Fault, type FaultCode } from "../../../hal/fault.ts";
import type { AuditEntry } from "../../../warden/audit/format/index.ts";
import { fakeClock } from "../../lab/fakes/clock.ts";

function eventLog() {
  const clock = fakeClock();
  const notes: AuditEntry[] = [];
  const lines: string[] = [];
  const events = createEventLog(
    (entry) => void notes.push(entry),
    (line) => void lines.push(line),
    clock,
  );
  const refuse = (code: FaultCode): void =>
    events.tunnelEvent({ kind: "input-refused", channel: "policy", fault: new Fault(code, `refused as ${code}`) });
  return { clock, notes, lines, refuse };
}

test("[TUN-7] a flood of refused messages makes ten journal lines, and the next line says how many were not written", async (t) => {
  const { clock, lines, notes, refuse } = eventLog();
  for (let count = 0; count < 1000; count += 1) refuse("message.invalid");
  t.equal(lines.length, 10);
  t.equal(notes.length, 1, "and one record");
  await clock.advance(10_000);
  refuse("message.invalid");
  t.match(lines.slice(10), [/^message refused on policy: refused as message.invalid \(990 more like it were not written\)$/u]);
  refuse("message.invalid");
  t.equal(lines.length, 11);
});

test("[TUN-7] refusals with alternating reasons do not fill the audit trail", async (t) => {
  const { clock, notes, refuse } = eventLog();
  for (let count = 0; count < 500; count += 1) {
    refuse("message.invalid");
    refuse("json.invalid");
  }
  t.equal(notes.length, 8);
  await clock.advance(600_000);
  refuse("message.invalid");
  t.match(notes.slice(8), [{ event: "input.refused", detail: { code: "message.invalid", withheld: 992 } }]);
});
