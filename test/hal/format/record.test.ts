// The envelope of state records: what an older program makes of a newer record.
import * as v from "valibot";
import { test } from "tap";
import { canonicalJson, type JsonValue } from "../../../hal/format/json.ts";
import { decodeRecord, encodeRecord, type RecordFormat } from "../../../hal/format/record.ts";

const schema = v.strictObject({
  v: v.literal(1),
  serial: v.number(),
  lines: v.record(v.string(), v.strictObject({ floor: v.number() })),
  trial: v.optional(v.variant("seen", [v.strictObject({ seen: v.literal(true), n: v.optional(v.number()) })])),
});
const FORMAT: RecordFormat<v.InferOutput<typeof schema>> = { what: "a record", version: 1, readable: 1, bytesMax: 4096, schema };
const LEGIBLE: typeof FORMAT = { ...FORMAT, legible: true };

const bytes = (value: JsonValue): Uint8Array => Buffer.from(canonicalJson(value));
const textOf = (encoded: Uint8Array): string => Buffer.from(encoded).toString();

test("[STA-5] a record says its format and the oldest that may use it; one without the second is of the first format", async (t) => {
  const value = { v: 1, serial: 3, lines: {} } as const;
  t.equal(textOf(encodeRecord(value, FORMAT)), '{"lines":{},"readable":1,"serial":3,"v":1}');
  t.same(decodeRecord(encodeRecord(value, FORMAT), FORMAT), value);
  t.same(decodeRecord(bytes(value), FORMAT), value);
});

test("[STA-5] a newer record is used when it says so, without the members that are not known", async (t) => {
  const newer = { v: 2, readable: 1, serial: 3, lines: { os: { floor: 1, why: "new" } }, more: [1], trial: { seen: true, x: 1 } };
  t.same(decodeRecord(bytes(newer), FORMAT), { v: 1, serial: 3, lines: { os: { floor: 1 } }, trial: { seen: true } });
  t.throws(() => decodeRecord(bytes({ ...newer, readable: 2 }), FORMAT), { code: "record.newer", message: /format 2/u });
  t.throws(() => decodeRecord(bytes({ v: 2, serial: 3, lines: {} }), FORMAT), { code: "record.newer" });
  t.match(decodeRecord(bytes({ v: 2, serial: 3, lines: {} }), LEGIBLE), { serial: 3 }, "what must stay legible for ever");
  t.throws(() => decodeRecord(bytes({ v: 2, serial: "three", lines: {} }), LEGIBLE), { code: "record.newer" }, "by its shape");
});

test("[STA-5] a member that is not known is damage in a record of this program's own format", async (t) => {
  for (const damaged of [
    { v: 1, serial: 3, lines: {}, liness: {} },
    { v: 1, lines: {} },
    { v: 0, serial: 3, lines: {} },
    7,
    [],
  ]) {
    t.throws(() => decodeRecord(bytes(damaged), LEGIBLE), { code: /^(?:schema|json)\.invalid$/u }, JSON.stringify(damaged));
    t.throws(() => decodeRecord(bytes(damaged), { ...LEGIBLE, code: "floor.invalid" }), { code: "floor.invalid" });
  }
  t.throws(() => decodeRecord(new Uint8Array(), LEGIBLE), { code: "json.invalid" });
});

test("[STA-5] what this program does not know stays in a record that it writes again, and so does its format", async (t) => {
  const newer = bytes({
    v: 3,
    readable: 1,
    serial: 3,
    lines: { app: { floor: 2, why: "kept" }, os: { floor: 1, why: "new" } },
    more: [1],
    trial: { seen: true, x: 1 },
  });
  const value = decodeRecord(newer, FORMAT);
  t.equal(textOf(encodeRecord(value, FORMAT, newer)), textOf(newer), "unchanged");
  const raised = { ...value, serial: 4, lines: { ...value.lines, os: { floor: 2 } }, trial: undefined };
  t.same(JSON.parse(textOf(encodeRecord(raised, FORMAT, newer))), {
    v: 3,
    readable: 1,
    serial: 4,
    lines: { app: { floor: 2, why: "kept" }, os: { floor: 2, why: "new" } },
    more: [1],
  });
  const tried = decodeRecord(encodeRecord({ ...value, trial: { seen: true, n: 1 } }, FORMAT, newer), FORMAT);
  t.same(tried.trial, { seen: true, n: 1 }, "a changed member is replaced as a whole");
});

const nestedSchema = v.strictObject({
  v: v.literal(1),
  phase: v.variant("at", [
    v.strictObject({ at: v.literal("idle") }),
    v.strictObject({ at: v.literal("trying"), release: v.strictObject({ name: v.string() }), tries: v.number() }),
    v.strictObject({ at: v.literal("done"), release: v.strictObject({ name: v.string() }) }),
  ]),
  list: v.optional(v.array(v.strictObject({ id: v.number(), tags: v.optional(v.array(v.strictObject({ t: v.string() }))) }))),
  maps: v.record(v.string(), v.strictObject({ n: v.number(), inner: v.optional(v.strictObject({ a: v.number() })) })),
});
const NESTED: RecordFormat<v.InferOutput<typeof nestedSchema>> = {
  what: "a nested record",
  version: 1,
  readable: 1,
  bytesMax: 4096,
  schema: nestedSchema,
};

test("[STA-5] nested members that are not known stay, in objects, lists and maps, as long as what they stand in is unchanged", async (t) => {
  const newer = bytes({
    v: 2,
    readable: 1,
    phase: { at: "trying", release: { name: "r", x: 1 }, tries: 1, x: 2 },
    list: [
      { id: 1, x: 3, tags: [{ t: "a", x: 4 }] },
      { id: 2, x: 5 },
    ],
    maps: { m: { n: 1, x: 6, inner: { a: 1, x: 7 } } },
  });
  const value = decodeRecord(newer, NESTED);
  t.same(value, {
    v: 1,
    phase: { at: "trying", release: { name: "r" }, tries: 1 },
    list: [{ id: 1, tags: [{ t: "a" }] }, { id: 2 }],
    maps: { m: { n: 1, inner: { a: 1 } } },
  });
  t.equal(textOf(encodeRecord(value, NESTED, newer)), textOf(newer), "an unchanged record is the same bytes");
  const later: typeof value = {
    v: 1,
    phase: { at: "done", release: { name: "r" } },
    list: [{ id: 2 }, { id: 3 }, { id: 1, tags: [{ t: "a" }] }],
    maps: { m: { n: 2, inner: { a: 1 } }, other: { n: 0 } },
  };
  t.same(JSON.parse(textOf(encodeRecord(later, NESTED, newer))), {
    v: 2,
    readable: 1,
    phase: { at: "done", release: { name: "r", x: 1 } },
    list: [{ id: 2, x: 5 }, { id: 3 }, { id: 1, x: 3, tags: [{ t: "a", x: 4 }] }],
    maps: { m: { n: 2, x: 6, inner: { a: 1, x: 7 } }, other: { n: 0 } },
  });
  const other = encodeRecord({ ...later, phase: { at: "idle" }, list: undefined }, NESTED, newer);
  t.match(decodeRecord(other, NESTED), { phase: { at: "idle" }, maps: later.maps });
});

test("[STA-5] a record that may not be used is not overwritten, unless nothing is lost by that; a damaged one is", async (t) => {
  const value = { v: 1, serial: 1, lines: {} } as const;
  const newer = bytes({ v: 2, readable: 2, serial: 9, lines: {} });
  t.throws(() => encodeRecord(value, FORMAT, newer), { code: "record.newer" });
  t.match(JSON.parse(textOf(encodeRecord(value, { ...FORMAT, replaceable: true }, newer))), { v: 1, serial: 1 });
  t.match(JSON.parse(textOf(encodeRecord(value, FORMAT, Buffer.from("garbage")))), { v: 1, serial: 1 });
});
