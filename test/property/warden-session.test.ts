// For any bytes, a session answers, slows down or ends: it never throws, and every line that it
// sends is an answer of the protocol.
import { test } from "tap";
import fc from "fast-check";
import * as v from "valibot";
import { PROTOCOL_LINE_BYTES_MAX, WARDEN_VERBS, wardenAnswerSchema } from "../../warden/protocol/format.ts";
import { createLineSplitter } from "../../warden/protocol/framing/format.ts";
import { createRequestBudget, createProtocolSession, createRefusalRecorder } from "../../warden/protocol/index.ts";
import { fakeClock } from "../lab/fakes/clock.ts";
import { VERBS } from "../lab/worlds/verbs.ts";

const HELLO = '{"id":1,"verb":"hello","args":{"protocol":1,"program":"x"}}\n';

/** Random bytes, random JSON, and requests that are almost right. */
const line = fc.oneof(
  fc.uint8Array({ maxLength: 200 }),
  fc.json().map((text) => Buffer.from(`${text}\n`)),
  fc
    .record({
      id: fc.oneof(fc.integer(), fc.jsonValue()),
      verb: fc.oneof(fc.constantFrom(...Object.keys(WARDEN_VERBS), "__proto__", "constructor"), fc.string()),
      args: fc.oneof(fc.dictionary(fc.string(), fc.jsonValue()), fc.jsonValue()),
    })
    .map((request) => Buffer.from(`${JSON.stringify(request)}\n`)),
);

test("[OPS-1] [OPS-2] no bytes make a session throw or send anything but an answer", async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.boolean(), fc.array(line, { maxLength: 10 }), async (greeted, lines) => {
      const clock = fakeClock();
      const sent: string[] = [];
      const report = (): void => undefined;
      const session = createProtocolSession({
        handlers: VERBS,
        budget: createRequestBudget(clock, { bytesPerSecond: 1e9, burstBytes: 1e9 }),
        refusals: createRefusalRecorder(async () => 0, clock, report),
        report,
        send: async (text) => void sent.push(text),
        signal: new AbortController().signal,
      });
      const splitter = createLineSplitter(PROTOCOL_LINE_BYTES_MAX);
      const chunks = greeted ? [Buffer.from(HELLO), ...lines] : lines;
      let open = true;
      for (const chunk of chunks) for (const each of splitter.push(chunk)) open = open && (await session.receive(each));
      await session.settled();
      for (const text of sent) v.parse(wardenAnswerSchema, JSON.parse(text));
      return sent.every((text) => text.endsWith("\n") && text.indexOf("\n") === text.length - 1);
    }),
    { interruptAfterTimeLimit: 5000, numRuns: 2000 },
  );
  t.pass();
});
