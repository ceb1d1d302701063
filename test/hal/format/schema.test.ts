import { test } from "tap";
import * as v from "valibot";
import { listSchema } from "../../../hal/format/fields.ts";
import { check, tryCheck } from "../../../hal/format/schema.ts";

const schema = v.strictObject({
  name: v.pipe(v.string(), v.maxLength(3, "expected at most 3 characters")),
  port: v.pipe(v.number(), v.maxValue(65_535, "expected a port")),
  inner: v.optional(v.strictObject({ on: v.boolean("expected true or false") })),
});

test("a valid value comes back typed and unchanged", async (t) => {
  const value = { name: "a", port: 1, inner: { on: true } };
  t.strictSame(check(schema, value, "settings"), value);
});

test("every fault is reported at once, each with its path", async (t) => {
  t.throws(() => check(schema, { name: "long", port: 70_000, inner: { on: 1 } }, "settings"), {
    code: "schema.invalid",
    message: "settings is invalid: name: expected at most 3 characters; port: expected a port; inner.on: expected true or false",
  });
});

test("an unknown member is a fault, at every depth", async (t) => {
  t.throws(() => check(schema, { name: "a", port: 1, more: 1 }, "settings"), { code: "schema.invalid", message: /more: / });
  t.throws(() => check(schema, { name: "a", port: 1, inner: { on: true, more: 1 } }, "settings"), {
    code: "schema.invalid",
    message: /inner\.more: /,
  });
});

test("a missing member and a value of another type are faults", async (t) => {
  t.throws(() => check(schema, { name: "a" }, "settings"), { code: "schema.invalid", message: /port: / });
  for (const value of [undefined, null, 1, "text", []])
    t.throws(() => check(schema, value, "settings"), { code: "schema.invalid", message: /^settings is invalid: / });
});

test("the caller chooses the code", async (t) => {
  t.throws(() => check(schema, {}, "the request", "protocol.invalid"), { code: "protocol.invalid" });
});

test("all unknown members are named at once, with the expected ones, beside other faults", async (t) => {
  const fault = {
    code: "schema.invalid",
    message:
      /port: expected a port; more: unknown, expected one of name, port, inner; inner\.other: unknown, expected one of on$/,
  };
  t.throws(() => check(schema, { name: "a", port: 70_000, more: 1, inner: { on: true, other: 1 } }, "settings"), fault);
});

test("a name that every object inherits is as unknown as any other", async (t) => {
  for (const name of ["constructor", "__proto__", "toString"])
    t.throws(() => check(schema, JSON.parse(`{"name":"a","port":1,"${name}":1}`), "settings"), {
      message: new RegExp(`${name}: unknown`, "u"),
    });
});

test("a list is not an object, not even where every member is optional", async (t) => {
  const loose = v.strictObject({ on: v.optional(v.boolean()), inner: v.optional(v.strictObject({}), {}) });
  t.throws(() => check(loose, [], "settings"), { message: /is invalid: expected an object, got a list/ });
  t.throws(() => check(loose, { inner: [] }, "settings"), { message: /inner: expected an object, got a list/ });
});

/** A list of texts; `seen` counts the items that were looked at. */
function countedList(): { readonly schema: v.GenericSchema; readonly seen: { items: number } } {
  const seen = { items: 0 };
  const item = v.pipe(
    v.unknown(),
    v.check(() => (seen.items += 1) > 0),
    v.string("expected a text"),
  );
  return { schema: v.strictObject({ list: v.array(item) }), seen };
}

test("[STA-10] validation stops at the eighth fault: 32,700 wrong items are not looked at", async (t) => {
  const { schema: list, seen } = countedList();
  t.throws(() => check(list, { list: Array.from({ length: 32_700 }, () => 1) }, "request"), {
    message: `request is invalid: ${[0, 1, 2, 3, 4, 5, 6, 7].map((n) => `list.${n}: expected a text`).join("; ")}; there may be more`,
  });
  t.equal(seen.items, 8);
});

test("[STA-10] unknown members are listed up to the eighth, and what was expected once for each object", async (t) => {
  const many = Object.fromEntries(Array.from({ length: 5000 }, (_, n) => [`k${n}`, 1]));
  t.throws(() => check(v.strictObject({ on: v.optional(v.boolean()) }), many, "settings"), {
    message:
      "settings is invalid: k0: unknown, expected one of on; k1: unknown; k2: unknown; k3: unknown; k4: unknown; k5: unknown; k6: unknown; k7: unknown; there may be more",
  });
});

test("[STA-10] alternatives that were tried in vain do not hide the faults of a small file", async (t) => {
  const port = v.union([v.pipe(v.string(), v.regex(/^[0-9]+$/u)), v.pipe(v.number(), v.integer())]);
  const file = v.strictObject({
    ports: v.array(port),
    name: v.string("expected a name"),
    on: v.boolean("expected true or false"),
  });
  const ports = Array.from({ length: 12 }, (_, n) => n);
  t.strictSame(check(file, { ports, name: "a", on: true }, "settings"), { ports, name: "a", on: true });
  t.throws(() => check(file, { ports, name: 1, on: 1 }, "settings"), {
    message: "settings is invalid: name: expected a name; on: expected true or false",
  });
});

test("[STA-10] a message quotes at most 64 characters of a value and of a path, all printable", async (t) => {
  const long = `a\u001b[2J${"x".repeat(100_000)}`;
  t.throws(() => check(v.record(v.string(), v.number()), { [long]: long }, "settings"), {
    message: `settings is invalid: a?[2J${"x".repeat(59)}: expected number, got "a?[2J${"x".repeat(59)}..."`,
  });
});

test("[STA-11] of a file that another user may have put there, a message says where it is wrong and nothing of its content", async (t) => {
  const file = v.strictObject({ list: v.array(v.strictObject({ n: v.number() })), map: v.record(v.string(), v.number()) });
  const value = { list: [{ n: "root:x:0:0" }, { shadow: 1 }], map: { "root:x:0:0": "secret" }, passwd: 1 };
  t.throws(() => check(file, value, "metadata", "trust.invalid", "withheld"), {
    message:
      'metadata is invalid: list.0.n: expected number, got a value of type string; list.1.n: expected "n", got none; list.1.*: unknown; map.*: expected number, got a value of type string; *: unknown, expected one of list, map',
  });
});

test("an unknown member within a list is named too", async (t) => {
  t.throws(() => check(v.strictObject({ list: v.array(v.strictObject({})) }), { list: [{ more: 1 }] }, "settings"), {
    message: "settings is invalid: list.0.more: unknown",
  });
});

test("[STA-10] tryCheck gives the value or nothing, and stops at the first issue", async (t) => {
  const { schema: list, seen } = countedList();
  t.strictSame(tryCheck(list, { list: ["a"] }), { list: ["a"] });
  t.equal(tryCheck(list, { list: [1, 1, 1, 1] }), undefined);
  t.equal(seen.items, 2);
});

test("[STA-12] a list is counted before its items are looked at", async (t) => {
  const seen = { items: 0 };
  const item = v.pipe(
    v.string(),
    v.check(() => (seen.items += 1) > 0),
  );
  const list = listSchema(item, 3);
  t.strictSame(check(list, ["a", "b", "c"], "list"), ["a", "b", "c"]);
  t.equal(seen.items, 3);
  t.throws(
    () =>
      check(
        list,
        Array.from({ length: 100_000 }, () => "a"),
        "list",
      ),
    { message: "list is invalid: expected at most 3 items" },
  );
  t.equal(seen.items, 3);
});
