import { test } from "tap";
import * as v from "valibot";
import { check } from "../../../hal/format/schema.ts";

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
  t.throws(() => check(loose, [], "settings"), { message: /\(whole\): expected an object, got a list/ });
  t.throws(() => check(loose, { inner: [] }, "settings"), { message: /inner: expected an object, got a list/ });
});
