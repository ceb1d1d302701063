import { test } from "tap";
import type { BrokerConnection, ConnectionEnd } from "../../../agent/tunnel/connection.ts";
import { HELD_MAX, SUSPECT_CUTS_MAX } from "../../../agent/tunnel/limits.ts";
import { createSuspects } from "../../../agent/tunnel/suspects.ts";
import { Fault } from "../../../hal/fault.ts";

interface Line {
  readonly connection: BrokerConnection;
  /** Acknowledges the oldest message in flight. */
  acknowledge(): void;
  end(by: ConnectionEnd["by"], reason?: number): void;
}

/** A connection without a limit, which a test ends. */
function line(): Line {
  const flights: PromiseWithResolvers<void>[] = [];
  const ended = Promise.withResolvers<ConnectionEnd>();
  return {
    connection: {
      hasRoom: () => true,
      send: () => {
        const flight = Promise.withResolvers<void>();
        flights.push(flight);
        return flight.promise;
      },
      subscribe: async () => undefined,
      close: async () => undefined,
      destroy: () => undefined,
      ended: ended.promise,
    },
    acknowledge: () => flights.shift()?.resolve(),
    end: (by, reason) => {
      const fault = new Fault("tunnel.closed", "ended");
      for (const flight of flights.splice(0)) flight.reject(fault);
      ended.resolve({ by, fault, ...(reason !== undefined && { reason }) });
    },
  };
}

const bytes = (text: string): Uint8Array => Buffer.from(text);
const settled = async (work: Promise<void> | undefined): Promise<string> =>
  (work ?? Promise.resolve()).then(
    () => "sent",
    (error: unknown) => (error instanceof Fault ? error.code : "no fault"),
  );

/** One connection on which `texts` are sent together, as far as there is room, and then cut. */
async function cut(
  suspects: ReturnType<typeof createSuspects>,
  by: ConnectionEnd["by"],
  ...texts: readonly string[]
): Promise<readonly string[]> {
  const at = line();
  const guarded = suspects.guard(at.connection);
  const sends: Promise<string>[] = [];
  for (const text of texts) if (guarded?.hasRoom() === true) sends.push(settled(guarded.send("up", bytes(text), false)));
  at.end(by);
  const outcomes = await Promise.all(sends);
  await at.connection.ended;
  await Promise.resolve();
  return outcomes;
}

test("[STA-15] after a cut with several messages in flight they go one at a time, and the one that is cut again and again is refused", async (t) => {
  const suspects = createSuspects(() => undefined);
  t.same(await cut(suspects, "peer", "a", "poison", "b"), ["tunnel.closed", "tunnel.closed", "tunnel.closed"]);
  t.notOk(suspects.suspects(), "any of them may be it");
  for (let n = 0; n < SUSPECT_CUTS_MAX; n++)
    t.same(await cut(suspects, "peer", "poison", "b"), ["tunnel.closed"], "one at a time");
  t.ok(suspects.suspects());
  t.same(await passes(suspects, ["poison", "b"]), ["tunnel.closed", "sent"], "held back, and cut off again after another passed");
  const at = line();
  const guarded = suspects.guard(at.connection);
  t.equal(await settled(guarded?.send("up", bytes("poison"), false)), "spool.too-large");
  const c = settled(guarded?.send("up", bytes("c"), false));
  at.acknowledge();
  t.equal(await c, "sent");
  t.notOk(suspects.suspects());
  const both = [settled(guarded?.send("up", bytes("d"), false)), settled(guarded?.send("up", bytes("e"), false))];
  t.ok(guarded?.hasRoom(), "the window is open again");
  at.acknowledge();
  at.acknowledge();
  t.same(await Promise.all(both), ["sent", "sent"]);
});

/** One connection on which the last of `texts` is acknowledged, and that is cut then. */
async function passes(suspects: ReturnType<typeof createSuspects>, texts: readonly string[]): Promise<readonly string[]> {
  const at = line();
  const guarded = suspects.guard(at.connection);
  const sends = texts.map((text) => settled(guarded?.send("up", bytes(text), false)));
  at.acknowledge();
  await sends.at(-1);
  await new Promise((resolve) => setImmediate(resolve));
  at.end("peer");
  return await Promise.all(sends);
}

test("[STA-15] two such messages, one behind the other, are both given up", async (t) => {
  const suspects = createSuspects(() => undefined);
  await cut(suspects, "peer", "p1", "p2", "c");
  for (let n = 0; n < SUSPECT_CUTS_MAX; n++) await cut(suspects, "peer", "p1", "p2", "c");
  for (let n = 0; n < SUSPECT_CUTS_MAX; n++)
    t.same(await cut(suspects, "peer", "p1", "p2", "c"), ["tunnel.closed", "tunnel.closed"]);
  t.same(await passes(suspects, ["p1", "p2", "c"]), ["tunnel.closed", "tunnel.closed", "sent"]);
  const at = line();
  const guarded = suspects.guard(at.connection);
  t.equal(await settled(guarded?.send("up", bytes("p1"), false)), "spool.too-large");
});

test("[STA-15] [TUN-6] a hub that takes nothing at all, such as one with a full disk, loses no message, however long", async (t) => {
  const suspects = createSuspects(() => undefined);
  const all = Array.from({ length: 20 }, (_, n) => `m${n}`);
  for (let n = 0; n < 50 * SUSPECT_CUTS_MAX; n++) {
    const outcomes = await cut(suspects, "peer", ...all);
    if (outcomes.some((each) => each !== "tunnel.closed")) t.fail(outcomes.join(" "));
  }
  const at = line();
  const guarded = suspects.guard(at.connection);
  const sends = all.map((text) => settled(guarded?.send("up", bytes(text), false)));
  for (let n = 0; n < 3 * all.length; n++) {
    at.acknowledge();
    await new Promise((resolve) => setImmediate(resolve));
  }
  t.same([...new Set(await Promise.all(sends))], ["sent"], "it works again, and takes all of them");
});

test("[STA-15] [TUN-6] a message is not given up for ends that others had in flight, that this device made, or that an acknowledgement interrupts", async (t) => {
  let room = 0;
  const suspects = createSuspects(() => void room++);
  for (let n = 0; n < 3 * SUSPECT_CUTS_MAX; n++) await cut(suspects, "peer", n % 2 === 0 ? "a" : "b");
  for (let n = 0; n < 3 * SUSPECT_CUTS_MAX; n++) await cut(suspects, "us", "a");
  for (let n = 1; n < SUSPECT_CUTS_MAX; n++) await cut(suspects, "peer", "a");
  const at = line();
  const guarded = suspects.guard(at.connection);
  const sent = settled(guarded?.send("up", bytes("a"), false));
  t.notOk(guarded?.hasRoom(), "one at a time");
  at.acknowledge();
  t.equal(await sent, "sent");
  t.equal(room, 1, "the next one may follow");
  t.ok(guarded?.hasRoom());
  await cut(suspects, "peer", "a");
  t.notOk(suspects.suspects(), "it begins anew");
});

test("[TUN-81] a hub that says that the packet is too large is believed for the one message in flight", async (t) => {
  const suspects = createSuspects(() => undefined);
  await cut(suspects, "peer", "a", "large");
  const at = line();
  const large = settled(suspects.guard(at.connection)?.send("up", bytes("large"), false));
  at.end("peer", 149);
  t.equal(await large, "tunnel.closed");
  await new Promise((resolve) => setImmediate(resolve));
  const after = line();
  t.equal(await settled(suspects.guard(after.connection)?.send("up", bytes("large"), false)), "spool.too-large");
});

test("[TUN-82] a topic of which everything is cut off is left out, until one of its messages passes", async (t) => {
  const paused: string[] = [];
  const suspects = createSuspects(
    () => undefined,
    (topic) => paused.push(topic),
  );
  for (let n = 0; n <= HELD_MAX; n++)
    for (let times = 0; times <= SUSPECT_CUTS_MAX; times++) await cut(suspects, "peer", `m${n}`);
  t.same(paused, ["up"]);
  t.ok(suspects.isPaused("up"));
  t.notOk(suspects.isPaused("other"));
  const at = line();
  const sent = settled(suspects.guard(at.connection)?.send("up", bytes("fine"), false));
  at.acknowledge();
  t.equal(await sent, "sent");
  t.notOk(suspects.isPaused("up"));
});
