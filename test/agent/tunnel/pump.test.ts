import { test } from "tap";
import type { BrokerConnection } from "../../../agent/tunnel/connection.ts";
import { createPump } from "../../../agent/tunnel/pump.ts";
import type { Spool, Spooled } from "../../../agent/tunnel/spool/index.ts";
import { Fault } from "../../../hal/fault.ts";

interface Fixture {
  readonly pump: () => void;
  readonly queue: Spooled[];
  readonly sent: readonly string[];
  readonly destroyed: readonly Fault[];
  readonly message: (name: string) => Spooled;
}

/**
 * A pump between a list and a connection that always has room. With `next` the messages are on the
 * disk.
 */
function fixture(next?: () => Promise<Spooled | undefined>): Fixture {
  const queue: Spooled[] = [];
  const sent: string[] = [];
  const destroyed: Fault[] = [];
  const spool: Spool = {
    append: async () => undefined,
    next: next ?? (async () => queue.shift()),
    nextReady: () => (next === undefined ? queue.shift() : "on-disk"),
    rewind: async () => undefined,
    status: () => ({ messages: queue.length, bytes: 0, dropped: 0 }),
    close: async () => undefined,
  };
  const connection: BrokerConnection = {
    hasRoom: () => true,
    send: async (_topic, payload) => void sent.push(Buffer.from(payload).toString()),
    subscribe: async () => undefined,
    close: async () => undefined,
    destroy: (fault) => void destroyed.push(fault),
    ended: new Promise(() => undefined),
  };
  const message = (name: string): Spooled => ({
    class: "event",
    channel: "event",
    payload: Buffer.from(name),
    acknowledge: () => undefined,
    drop: () => undefined,
  });
  return { pump: createPump({ spool, topic: String, connection: () => connection }), queue, sent, destroyed, message };
}

/** The pump sends in the next turn of the event loop, and what it has to read in the one after. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 4; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

test("[TUN-6] a message that arrives at any moment around the end of a round is sent", async (t) => {
  for (let offset = 0; offset <= 8; offset += 1) {
    const { pump, queue, sent, message } = fixture();
    pump();
    for (let microtask = 0; microtask < offset; microtask += 1) await Promise.resolve();
    queue.push(message("second"));
    pump();
    await turns();
    t.same(sent, ["second"], `${offset} microtasks after the pump began`);
  }
});

test("[TUN-6] an unreadable spool ends the connection, and the pump works with the next one", async (t) => {
  const faults: unknown[] = [new Fault("file.read-failed", "read the spool")];
  const answers: Spooled[] = [];
  const { pump, sent, destroyed, message } = fixture(async () => {
    const fault = faults.shift();
    if (fault !== undefined) throw fault;
    return answers.shift();
  });
  pump();
  await turns();
  t.same(
    destroyed.map(({ code }) => code),
    ["file.read-failed"],
  );
  answers.push(message("after"));
  pump();
  await turns();
  t.same(sent, ["after"]);
});

test("[TUN-6] a message that is announced while another is read from the disk is sent too", async (t) => {
  const reading = Promise.withResolvers<Spooled | undefined>();
  const answers: Promise<Spooled | undefined>[] = [reading.promise];
  const { pump, sent, message } = fixture(() => answers.shift() ?? Promise.resolve(undefined));
  pump();
  await turns();
  answers.push(Promise.resolve(message("second")));
  pump();
  await turns();
  reading.resolve(undefined);
  await turns();
  t.same(sent, ["second"]);
});
