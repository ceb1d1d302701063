// What the agent saw reaches the trail: in order, bounded, whatever the warden is doing. Over a real socket.
import { type Test, test } from "tap";
import { createAuditBuffer, type AuditBuffer } from "../../../agent/audit/index.ts";
import { ENTRIES_WAITING_MAX } from "../../../agent/audit/buffer-limits.ts";
import { Fault } from "../../../hal/fault.ts";
import type { AuditEntry } from "../../../warden/audit/format/index.ts";
import { fakeClock } from "../../lab/fakes/clock.ts";
import { eventually } from "../../lab/runner/process.ts";
import { clientOf, serveVerbs } from "../../lab/worlds/warden-socket.ts";

interface Bench {
  readonly reporter: AuditBuffer;
  readonly taken: AuditEntry[];
  readonly clock: ReturnType<typeof fakeClock>;
}

/** A reporter before a warden that takes what `refuse` lets pass. */
async function bench(
  t: Test,
  refuse: (entry: AuditEntry) => Fault | undefined = () => undefined,
  onAppended: () => void = () => undefined,
): Promise<Bench> {
  const taken: AuditEntry[] = [];
  const served = await serveVerbs({
    "audit.append": async (entry) => {
      const fault = refuse(entry);
      if (fault !== undefined) throw fault;
      taken.push(entry);
      return { seq: taken.length - 1 };
    },
  });
  const warden = clientOf(served.path);
  t.teardown(async () => {
    warden.close();
    await served.remove();
  });
  const clock = fakeClock();
  return { reporter: createAuditBuffer({ warden, clock, onAppended }), taken, clock };
}

const started = (n: number): AuditEntry => ({ event: "agent.started", result: "ok", detail: { n } });
const numbers = (entries: readonly AuditEntry[]): readonly unknown[] => entries.map(({ detail }) => detail?.["n"]);

async function allOf(entries: readonly AuditEntry[], count: number): Promise<true> {
  return eventually(`${count} entries`, async () => (entries.length >= count ? true : undefined));
}

test("entries noted while the warden refuses in passing wait and arrive in order", async (t) => {
  const away = { now: true };
  const { reporter, taken, clock } = await bench(t, () =>
    away.now ? new Fault("protocol.rate-limited", "too fast") : undefined,
  );
  for (const n of [1, 2, 3]) reporter.note(started(n));
  await eventually("a wait", async () => (clock.sleeping > 0 ? true : undefined));
  t.equal(reporter.trouble()?.code, "protocol.rate-limited", "and the status says why");
  away.now = false;
  await clock.advance(60_000);
  await allOf(taken, 3);
  t.same(numbers(taken), [1, 2, 3]);
  await eventually("the trouble is over", async () => (reporter.trouble() === undefined ? true : undefined));
});

test("[AUD-11] an entry the full log has dropped does not hold up a more severe one behind it", async (t) => {
  const { reporter, taken } = await bench(t, ({ event }) =>
    event === "agent.started" ? new Fault("audit.full", "dropped and counted") : undefined,
  );
  reporter.note(started(1));
  reporter.note({ event: "hub.untrusted", result: "refused" });
  await allOf(taken, 1);
  t.same(
    taken.map(({ event }) => event),
    ["hub.untrusted"],
  );
});

test("what is over the bound is counted and said in the trail, not kept", async (t) => {
  const away = { now: true };
  const { reporter, taken, clock } = await bench(t, () => (away.now ? new Fault("protocol.closed", "away") : undefined));
  for (let n = 0; n < ENTRIES_WAITING_MAX + 5; n += 1) reporter.note(started(n));
  await eventually("a wait", async () => (clock.sleeping > 0 ? true : undefined));
  away.now = false;
  await clock.advance(60_000);
  await allOf(taken, ENTRIES_WAITING_MAX + 1);
  t.match(taken.at(-1), { event: "spool.dropped", detail: { count: 5 } });
});

test("[AUD-11] an entry that the warden refuses for good is counted, and so is the count when its record is refused", async (t) => {
  const refused = { counts: 1 };
  const { reporter, taken } = await bench(t, ({ event, detail }) => {
    if (detail?.["n"] === 1) return new Fault("protocol.invalid", "no entry of this protocol");
    if (detail?.["n"] === 2) return new Fault("json.invalid", "a lone surrogate");
    if (event === "spool.dropped" && refused.counts-- > 0) return new Fault("audit.full", "dropped and counted");
    return undefined;
  });
  for (const n of [1, 2, 3]) reporter.note(started(n));
  await allOf(taken, 1);
  await eventually("the refused count", async () => (refused.counts === 0 ? true : undefined));
  reporter.note(started(4));
  await allOf(taken, 3);
  t.same(numbers(taken.slice(0, 2)), [3, 4]);
  t.match(taken[2], { event: "spool.dropped", detail: { count: 2 } });
});

test("an entry noted at any moment around the end of a round is not left lying", async (t) => {
  for (let offset = 0; offset <= 8; offset += 1) {
    const next = { noted: false };
    const { reporter, taken } = await bench(t, undefined, () => {
      if (next.noted) return;
      next.noted = true;
      void (async () => {
        for (let turn = 0; turn < offset; turn += 1) await Promise.resolve();
        reporter.note(started(2));
      })();
    });
    reporter.note(started(1));
    await allOf(taken, 2);
    t.same(numbers(taken), [1, 2], `offset ${offset}`);
  }
});

test("closing tries once more and ends, with the warden gone too", async (t) => {
  const { reporter, clock } = await bench(t, () => new Fault("protocol.closed", "away"));
  reporter.note(started(1));
  await eventually("a wait", async () => (clock.sleeping > 0 ? true : undefined));
  const closed = reporter.close(2_000);
  await clock.advance(2_000);
  await closed;
  t.pass("it ended");
});
