// The order of the interceptors, which is a security property: nothing runs without authorization.
import { test } from "tap";
import * as v from "valibot";
import { bindOperations } from "../../../agent/operations/bind.ts";
import type { RunContext } from "../../../agent/operations/index.ts";
import { operationRequestSchema } from "../../../agent/operations/format.ts";
import { INTERCEPTORS } from "../../../agent/operations/pipeline.ts";
import type { RequestContext } from "../../../agent/operations/request-context.ts";
import { CLOCK, CONSOLE, HANDLERS, ROOT, watchedOperations } from "../../lab/worlds/operations.ts";

const CONTEXT: RunContext = {
  principal: { id: "someone", roles: [], attributes: { channel: "local" }, credentials: [] },
  correlation: "1",
};
const start = (): RequestContext => ({
  caller: ROOT,
  request: v.parse(operationRequestSchema, { v: 1, id: "1", operation: "status" }),
});

test("[OPS-5] the order is authenticate, authorize, validate, run, redact", async (t) => {
  t.same(
    INTERCEPTORS.map(({ name }) => name),
    ["authenticate", "authorize", "validate", "run", "redact"],
  );
});

test("[OPS-5] without one of the interceptors the next one fails, and nothing runs", async (t) => {
  for (const omitted of INTERCEPTORS.slice(0, -1)) {
    const ran: string[] = [];
    const handlers = { ...HANDLERS, status: async () => (ran.push("status"), HANDLERS.status({}, CONTEXT)) };
    const ports = { operations: bindOperations(handlers), audit: async () => {}, clock: CLOCK };
    const walk = async () => {
      let context = start();
      for (const interceptor of INTERCEPTORS) if (interceptor !== omitted) context = await interceptor(context, ports);
    };
    await t.rejects(walk(), { code: "assert.broken" }, `without ${omitted.name}`);
    t.same(ran, [], `without ${omitted.name} no handler ran`);
  }
});

test("[OPS-5] the audit entry is written after the handler and before the answer", async (t) => {
  const order: string[] = [];
  const { operations, entries } = watchedOperations({
    ...HANDLERS,
    status: async () => (order.push(`run, ${entries.length} audited`), HANDLERS.status({}, CONTEXT)),
  });
  await operations.perform(CONSOLE, { v: 1, id: "a", operation: "status" });
  t.same(order, ["run, 0 audited"]);
  t.equal(entries.length, 1);
});
