// Refused requests and their audit records.
import { test } from "tap";
import { CONSOLE, HUB, ROOT, watchedOperations } from "../../lab/worlds/operations.ts";

test("[OPS-5] a denied request is answered with operation.denied and audited with principal and correlation", async (t) => {
  const { operations, entries } = watchedOperations();
  const answer = await operations.perform(CONSOLE, { v: 1, id: "c-7", operation: "audit.tail" });
  t.match(answer, {
    v: 1,
    id: "c-7",
    fault: { code: "operation.denied", message: /"console" with role guest may not ask for "audit.tail"/ },
  });
  t.match(entries, [
    {
      event: "operation.denied",
      result: "refused",
      principal: "console",
      correlation: "c-7",
      detail: { operation: "audit.tail", channel: "console", code: "operation.denied" },
    },
  ]);
  t.equal(entries.length, 1);
});

test("[OPS-3] [OPS-4] the online hub may read the status and not the audit trail", async (t) => {
  const { operations } = watchedOperations();
  t.match(await operations.perform(HUB, { v: 1, id: "1", operation: "status" }), {
    result: { v: 1, tunnel: { hub: "hub.example.net:8883" } },
  });
  t.match(await operations.perform(HUB, { v: 1, id: "2", operation: "audit.tail" }), { fault: { code: "operation.denied" } });
});

test("[OPS-5] an unknown caller is refused, and audited without a principal", async (t) => {
  const { operations, entries } = watchedOperations();
  t.match(await operations.perform({ channel: "local", socket: "wheel" }, { v: 1, id: "1", operation: "status" }), {
    fault: { code: "operation.unauthenticated" },
  });
  t.match(entries, [{ event: "operation.denied", result: "refused", detail: { channel: "local" } }]);
  t.equal(entries.length, 1);
  t.notOk(entries[0]?.principal);
});

test("[OPS-6] a malformed request is refused with its id if it has one, and audited as refused input", async (t) => {
  const deep: unknown = JSON.parse('{"v":1,"id":"1","operation":"status","__proto__":{"x":1}}');
  const cases: readonly [unknown, string][] = [
    [undefined, ""],
    [null, ""],
    ["status", ""],
    [[], ""],
    [{}, ""],
    [{ v: 1, id: "a b", operation: "status" }, ""],
    [{ v: 1, id: "x".repeat(65), operation: "status" }, ""],
    [{ v: 2, id: "7", operation: "status" }, "7"],
    [{ v: 1, id: "7", operation: "status", as: "owner" }, "7"],
    [{ v: 1, id: "7", operation: "x".repeat(65) }, "7"],
    [{ v: 1, id: "7", operation: "status", args: [] }, "7"],
    [{ v: 1, id: "7", operation: "status", args: null }, "7"],
    [deep, "1"],
  ];
  for (const [request, id] of cases) {
    const { operations, entries } = watchedOperations();
    t.match(await operations.perform(ROOT, request), { v: 1, id, fault: { code: "operation.invalid" } }, JSON.stringify(request));
    t.match(entries, [{ event: "input.refused", result: "refused", principal: "local-root" }]);
    t.equal(entries.length, 1);
  }
});

test("[OPS-4] arguments that are not in the table are refused, including names that objects inherit", async (t) => {
  const argumentLists = [
    '{"all":true}',
    '{"count":5,"since":0}',
    '{"__proto__":{"count":5}}',
    '{"constructor":1}',
    '{"toString":1}',
    '{"count":0}',
    '{"count":257}',
    '{"count":1.5}',
    '{"count":"5"}',
    '{"count":null}',
  ];
  for (const args of argumentLists) {
    const { operations, entries } = watchedOperations();
    const request: unknown = JSON.parse(`{"v":1,"id":"1","operation":"audit.tail","args":${args}}`);
    t.match(await operations.perform(ROOT, request), { fault: { code: "operation.invalid" } }, args);
    t.match(entries, [{ event: "input.refused", detail: { operation: "audit.tail" } }]);
    t.equal(entries.length, 1);
  }
});

test("[OPS-4] an operation that is not in the table is refused input", async (t) => {
  const { operations, entries } = watchedOperations();
  for (const operation of ["reboot", "constructor", "__proto__", "valueOf"])
    t.match(await operations.perform(ROOT, { v: 1, id: "1", operation }), {
      fault: { code: "operation.unknown", message: /there are status, identity\.show, audit\.tail/ },
    });
  t.same(
    entries.map(({ event }) => event),
    Array.from({ length: 4 }, () => "input.refused"),
  );
});

test("control characters of a request reach neither the answer nor the trail", async (t) => {
  const { operations, entries } = watchedOperations();
  const answer = await operations.perform(ROOT, { v: 1, id: "1", operation: "\u001b[2J\ud800\u202e" });
  t.notMatch(JSON.stringify([answer, entries]), /\\u001b|\\ud800|\u202e/u);
});
