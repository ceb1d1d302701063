// The buffer of the agent's audit entries, over a real socket: order, bound, and a warden that
// refuses.
import { type Test, test } from "tap";
import { ENTRIES_WAITING_MAX } from "../../../agent/audit/buffer.ts";
import { createAuditBuffer, type AuditBuffer } from "../../../agent/audit/index.ts";
import { asFault, Fault } from "../../../hal/fault.ts";
import { type AuditEntry, auditRecord, encodeAuditRecord } from "../../../warden/audit/format/index.ts";
import { fakeClock } from "../../lab/fakes/clock.ts";
import { eventually } from "../../lab/runner/process.ts";
import { clientOf, serveVerbs } from "../../lab/worlds/warden-socket.ts";

interface Fixture {
  readonly buffer: AuditBuffer;
  readonly accepted: AuditEntry[];
  readonly clock: ReturnType<typeof fakeClock>;
}

/** A buffer, and a warden that accepts the entries for which `refuse` returns nothing. */
async function fixture(
  t: Test,
  refuse: (entry: AuditEntry) => Fault | undefined = () => undefined,
  onAppended: () => void = () => undefined,
): Promise<Fixture> {
  const accepted: AuditEntry[] = [];
  const served = await serveVerbs({
    "audit.append": async (entry) => {
      const fault = refuse(entry);
      if (fault !== undefined) throw fault;
      accepted.push(entry);
      return { seq: accepted.length - 1 };
    },
  });
  const warden = clientOf(served.path);
  t.teardown(async () => {
    warden.close();
    await served.remove();
  });
  const clock = fakeClock();
  return { buffer: createAuditBuffer({ warden, clock, onAppended }), accepted, clock };
}

const started = (n: number): AuditEntry => ({ event: "agent.started", result: "ok", detail: { n } });
const numbers = (entries: readonly AuditEntry[]): readonly unknown[] => entries.map(({ detail }) => detail?.["n"]);

async function allOf(entries: readonly AuditEntry[], count: number): Promise<true> {
  return eventually(`${count} entries`, async () => (entries.length >= count ? true : undefined));
}

test("entries noted while the warden refuses for the moment wait, and arrive in order", async (t) => {
  const away = { now: true };
  const { buffer, accepted, clock } = await fixture(t, () =>
    away.now ? new Fault("protocol.rate-limited", "too fast") : undefined,
  );
  for (const n of [1, 2, 3]) buffer.note(started(n));
  await eventually("a wait", async () => (clock.sleeping > 0 ? true : undefined));
  t.equal(buffer.trouble()?.code, "protocol.rate-limited", "the status has the reason");
  away.now = false;
  await clock.advance(60_000);
  await allOf(accepted, 3);
  t.same(numbers(accepted), [1, 2, 3]);
  await eventually("no fault", async () => (buffer.trouble() === undefined ? true : undefined));
});

test("[AUD-25] an entry that the full log has dropped does not hold up a more severe one behind it", async (t) => {
  const { buffer, accepted } = await fixture(t, ({ event }) =>
    event === "agent.started" ? new Fault("audit.full", "dropped and counted") : undefined,
  );
  buffer.note(started(1));
  buffer.note({ event: "hub.untrusted", result: "refused" });
  await allOf(accepted, 1);
  t.same(
    accepted.map(({ event }) => event),
    ["hub.untrusted"],
  );
});

test("an entry that the warden refuses for its content is counted and recorded", async (t) => {
  const { buffer, accepted } = await fixture(t, ({ event }) =>
    event === "agent.started" ? new Fault("json.invalid", "not well-formed text") : undefined,
  );
  buffer.note(started(1));
  buffer.note({ event: "hub.untrusted", result: "refused" });
  await allOf(accepted, 2);
  t.match(accepted, [{ event: "hub.untrusted" }, { event: "spool.dropped", detail: { count: 1 } }]);
});

test("[AUD-41] an entry that no record can hold is set aside, with a record of its own, also as the last one", async (t) => {
  const { buffer, accepted } = await fixture(t, (entry) => {
    try {
      encodeAuditRecord(auditRecord(entry, { seq: 0, atMs: 0, monotonicMs: 0, bootId: "b", clockSynced: false }));
      return undefined;
    } catch (error) {
      return asFault(error, "assert.broken", "encode");
    }
  });
  const detail = Object.fromEntries(Array.from({ length: 16 }, (_, i) => [`d${i}`, "\u20ac".repeat(512)]));
  buffer.note(started(1));
  buffer.note({ event: "enrolment.failed", result: "failed", detail });
  buffer.note(started(2));
  await allOf(accepted, 3);
  t.match(accepted, [
    { detail: { n: 1 } },
    { detail: { n: 2 } },
    { event: "spool.dropped", detail: { count: 1, refused: "enrolment.failed", code: "audit.too-large" } },
  ]);
  buffer.note({ event: "enrolment.failed", result: "failed", detail });
  await allOf(accepted, 4);
  t.match(accepted[3], { event: "spool.dropped", detail: { count: 1, code: "audit.too-large" } }, "with nothing behind it");
  t.equal(buffer.trouble(), undefined);
});

test("[AUD-11] the count of lost entries is not lost when the entry that states it is refused", async (t) => {
  const refused = { reports: 1 };
  const { buffer, accepted } = await fixture(t, ({ event, detail }) => {
    if (detail?.["n"] === 1) return new Fault("protocol.invalid", "no entry of this protocol");
    if (detail?.["n"] === 2) return new Fault("json.invalid", "not well-formed text");
    if (event === "spool.dropped" && refused.reports-- > 0) return new Fault("audit.full", "dropped and counted");
    return undefined;
  });
  for (const n of [1, 2, 3]) buffer.note(started(n));
  await allOf(accepted, 1);
  await eventually("the refused report", async () => (refused.reports === 0 ? true : undefined));
  buffer.note(started(4));
  await allOf(accepted, 3);
  t.same(numbers(accepted.slice(0, 2)), [3, 4]);
  t.match(accepted[2], { event: "spool.dropped", detail: { count: 2 } });
});

test("entries above the bound are not stored; their number is recorded", async (t) => {
  const away = { now: true };
  const { buffer, accepted, clock } = await fixture(t, () => (away.now ? new Fault("protocol.closed", "away") : undefined));
  for (let n = 0; n < ENTRIES_WAITING_MAX + 5; n += 1) buffer.note(started(n));
  await eventually("a wait", async () => (clock.sleeping > 0 ? true : undefined));
  away.now = false;
  await clock.advance(60_000);
  await allOf(accepted, ENTRIES_WAITING_MAX + 1);
  t.match(accepted.at(-1), { event: "spool.dropped", detail: { count: 5 } });
});

test("an entry noted at any moment around the end of a round is delivered", async (t) => {
  for (let offset = 0; offset <= 8; offset += 1) {
    const next = { noted: false };
    const { buffer, accepted } = await fixture(t, undefined, () => {
      if (next.noted) return;
      next.noted = true;
      void (async () => {
        for (let turn = 0; turn < offset; turn += 1) await Promise.resolve();
        buffer.note(started(2));
      })();
    });
    buffer.note(started(1));
    await allOf(accepted, 2);
    t.same(numbers(accepted), [1, 2], `offset ${offset}`);
  }
});

test("close tries once more and ends, even without a warden", async (t) => {
  const { buffer, clock } = await fixture(t, () => new Fault("protocol.closed", "away"));
  buffer.note(started(1));
  await eventually("a wait", async () => (clock.sleeping > 0 ? true : undefined));
  const closed = buffer.close(2_000);
  await clock.advance(2_000);
  await closed;
  t.pass("close resolved");
});
