// The order of the interceptors is a security property: nothing runs that was not asked for by someone who may.
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

test("[OPS-5] with any interceptor left out the next one stops: nothing reaches run without the ones before it", async (t) => {
  for (const left of INTERCEPTORS.slice(0, -1)) {
    const ran: string[] = [];
    const handlers = { ...HANDLERS, status: async () => (ran.push("status"), HANDLERS.status({}, CONTEXT)) };
    const ports = { operations: bindOperations(handlers), audit: async () => {}, clock: CLOCK };
    const walk = async () => {
      let passage = start();
      for (const interceptor of INTERCEPTORS) if (interceptor !== left) passage = await interceptor(passage, ports);
    };
    await t.rejects(walk(), { code: "assert.broken" }, `without ${left.name}`);
    t.same(ran, [], `without ${left.name} no handler ran`);
  }
});

test("[OPS-5] the audit entry is written after the handler ran and before the answer leaves", async (t) => {
  const order: string[] = [];
  const { operations, entries } = watchedOperations({
    ...HANDLERS,
    status: async () => (order.push(`run, ${entries.length} audited`), HANDLERS.status({}, CONTEXT)),
  });
  await operations.perform(CONSOLE, { v: 1, id: "a", operation: "status" });
  t.same(order, ["run, 0 audited"]);
  t.equal(entries.length, 1);
});
