// Canonical JSON against the examples of RFC 8785, and the bounds of parsing.
import { test } from "tap";
import { canonicalJson, JSON_DEPTH_MAX, parseCanonicalJson, parseJson } from "../../../hal/format/json.ts";

function canonical(text: string): void {
  parseCanonicalJson(Buffer.from(text), 4096, "value");
}

test("RFC 8785 section 3.2.2: the sample object is written as required", async (t) => {
  const value = {
    numbers: [Number("333333333.33333329"), 1e30, 4.5, 2e-3, 0.000000000000000000000000001],
    string: "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"/",
    literals: [null, true, false],
  };
  const written =
    '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}';
  t.equal(canonicalJson(value), written);
  t.doesNotThrow(() => canonical(written));
});

test("RFC 8785 section 3.2.3: members are sorted by UTF-16 code units, not by code points", async (t) => {
  const value = {
    "\u20ac": "Euro Sign",
    "\r": "Carriage Return",
    "\ufb33": "Hebrew Letter Dalet With Dagesh",
    "1": "One",
    "\ud83d\ude00": "Emoji: Grinning Face",
    "\u0080": "Control",
    "\u00f6": "Latin Small Letter O With Diaeresis",
  };
  const written =
    '{"\\r":"Carriage Return","1":"One","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis",' +
    '"\u20ac":"Euro Sign","\ud83d\ude00":"Emoji: Grinning Face","\ufb33":"Hebrew Letter Dalet With Dagesh"}';
  t.equal(canonicalJson(value), written);
  // JSON.parse puts "1" first: the order must not come from the order in the text
  t.doesNotThrow(() => canonical(written));
});

test("RFC 8785 appendix B: numbers", async (t) => {
  const view = new DataView(new ArrayBuffer(8));
  for (const [bits, written] of [
    ["0000000000000000", "0"],
    ["8000000000000000", "0"],
    ["0000000000000001", "5e-324"],
    ["8000000000000001", "-5e-324"],
    ["7fefffffffffffff", "1.7976931348623157e+308"],
    ["4340000000000000", "9007199254740992"],
    ["c340000000000000", "-9007199254740992"],
    ["4430000000000000", "295147905179352830000"],
    ["44b52d02c7e14af5", "9.999999999999997e+22"],
    ["44b52d02c7e14af6", "1e+23"],
    ["44b52d02c7e14af7", "1.0000000000000001e+23"],
    ["444b1ae4d6e2ef4e", "999999999999999700000"],
    ["444b1ae4d6e2ef4f", "999999999999999900000"],
    ["444b1ae4d6e2ef50", "1e+21"],
    ["3eb0c6f7a0b5ed8c", "9.999999999999997e-7"],
    ["3eb0c6f7a0b5ed8d", "0.000001"],
    ["41b3de4355555553", "333333333.3333332"],
    ["becbf647612f3696", "-0.0000033333333333333333"],
  ] as const) {
    view.setBigUint64(0, BigInt(`0x${bits}`));
    t.equal(canonicalJson(view.getFloat64(0)), written, bits);
  }
});

test("RFC 8785 section 3.2.2: a value without a JSON form is refused", async (t) => {
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, "\ud83d", "\ude00", { "\udead": 1 }])
    t.throws(() => canonicalJson(value), { code: "json.invalid" });
});

test("a member that is undefined is left out; one named __proto__ is a member like others", async (t) => {
  t.equal(canonicalJson({ b: undefined, a: 1 }), '{"a":1}');
  t.doesNotThrow(() => canonical('{"__proto__":{"a":1}}'));
  t.equal(canonicalJson(Object.fromEntries([["__proto__", 1]])), '{"__proto__":1}');
});

test("canonical bytes have one reading: a duplicate member, white space, another order, or another form of a number or an escape is refused", async (t) => {
  for (const text of [
    '{"a":1,"a":1}',
    '{"a":1,"a":2}',
    '{"a":1,"\\u0061":1}',
    '{"a": 1}',
    ' {"a":1}',
    '{"a":1}\n',
    '{"b":1,"a":1}',
    "1.0",
    "1e0",
    "-0",
    "1E30",
    "9007199254740993",
    '"\\u0041"',
    '"\\/"',
    '"\\u000A"',
    '"\\ud83d"',
  ])
    t.throws(() => canonical(text), { code: /^json\.(not-canonical|invalid)$/ }, text);
  for (const text of ['{"a":1}', "1", "-1", '"\\n"', '"\\u000f"', "[]", "{}", "null"])
    t.doesNotThrow(() => canonical(text), text);
});

test("bytes that are not strict UTF-8, or not one JSON value, are refused", async (t) => {
  const cases: Record<string, Uint8Array> = {
    empty: Buffer.from(""),
    "a byte order mark": Buffer.from("\ufeff{}"),
    "an invalid byte": Buffer.from([0x22, 0xff, 0x22]),
    "an overlong form": Buffer.from([0x22, 0xc0, 0xaf, 0x22]),
    "an encoded surrogate": Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]),
    "a cut character": Buffer.from([0x22, 0xe2, 0x82]),
    "two values": Buffer.from("{}{}"),
    "a comment": Buffer.from("{} // all"),
    NaN: Buffer.from("NaN"),
    "a control character in a string": Buffer.from('"\u0001"'),
  };
  for (const [name, bytes] of Object.entries(cases)) t.throws(() => parseJson(bytes, 100, name), { code: "json.invalid" }, name);
});

test("the bound counts bytes, not characters: a text at the bound is accepted, one byte more is refused", async (t) => {
  t.equal(parseJson(Buffer.from('"12345678"'), 10, "value"), "12345678");
  t.throws(() => parseJson(Buffer.from('"123456789"'), 10, "value"), { code: "json.too-large" });
  t.equal(parseJson('"\u20ac\u20ac"', 8, "value"), "\u20ac\u20ac");
  t.throws(() => parseJson('"\u20ac\u20ac"', 7, "value"), { code: "json.too-large" });
});

test("16 levels are accepted, 17 are refused, and a hundred thousand cost no stack", async (t) => {
  const lists = (depth: number) => "[".repeat(depth) + "]".repeat(depth);
  const objects = (depth: number) => '{"a":'.repeat(depth) + "1" + "}".repeat(depth);
  for (const nested of [lists, objects]) {
    t.doesNotThrow(() => parseJson(nested(JSON_DEPTH_MAX), 1e6, "value"));
    t.throws(() => parseJson(nested(JSON_DEPTH_MAX + 1), 1e6, "value"), { code: "json.invalid" });
    t.throws(() => parseJson(nested(100_000), 1e6, "value"), { code: "json.invalid" });
  }
});

test("[STA-12] values, members and objects are counted in proportion to the bound, before anything is built", async (t) => {
  const bytesMax = 65_536;
  const list = (count: number, item: string) => `[${Array.from({ length: count }, () => item).join(",")}]`;
  t.doesNotThrow(() => parseJson(list(5000, "1"), bytesMax, "value"));
  t.throws(() => parseJson(list(5500, "1"), bytesMax, "value"), { code: "json.invalid", message: /more than 5461 values/u });
  t.doesNotThrow(() => parseJson(list(1000, "{}"), bytesMax, "value"));
  t.throws(() => parseJson(list(1100, "{}"), bytesMax, "value"), { code: "json.invalid", message: /more than 1024 objects/u });
  const members = (count: number) => `{${Array.from({ length: count }, (_, n) => `"${n}":1`).join(",")}}`;
  t.doesNotThrow(() => parseJson(members(2300), bytesMax, "value"));
  t.throws(() => parseJson(members(2400), bytesMax, "value"), { code: "json.invalid", message: /more than 2340 members/u });
  t.throws(() => parseJson(list(300, "1"), bytesMax, "value", { valuesMax: 256 }), { message: /more than 256 values/u });
  t.doesNotThrow(() => parseJson(list(200, "1"), 1024, "value"), "a small input may hold 256");
});

test("[STA-12] what looks like structure within a text does not count", async (t) => {
  for (const text of [`"${"[{,:".repeat(2000)}"`, `"${'\\"[,'.repeat(2000)}"`, `"${"\\\\".repeat(100)}"`])
    t.doesNotThrow(() => parseJson(text, 10_000, "value"), text.slice(0, 20));
  // the second text ends where the first escape is itself escaped
  t.throws(() => parseJson(`["\\\\",${"[".repeat(20)}]`, 10_000, "value"), { message: /levels deep/u });
  t.throws(() => parseJson(`"never ends${"[".repeat(50)}`, 10_000, "value"), { code: "json.invalid" });
});

test("[STA-11] of a file that another user may have put there, nothing is quoted", async (t) => {
  t.throws(() => parseJson("root:x:0:0", 100, "2.root.json", { quoting: "withheld" }), {
    message: "2.root.json is not the JSON expected: it is not JSON",
  });
  t.match(await quotationOf("root:x:0:0"), /root/u, "a configuration file may be quoted");
});

async function quotationOf(text: string): Promise<string> {
  try {
    return String(parseJson(text, 100, "agent.json"));
  } catch (error) {
    return error instanceof Error ? error.message : "";
  }
}

test("[LCK-65] a byte order mark, and UTF-16, are refused in words that say what to do", async (t) => {
  const save = /save it as UTF-8 without a byte order mark/u;
  for (const [bytes, why] of [
    [Buffer.from('\ufeff{"v":1}'), /begins with a byte order mark/u],
    [Buffer.from("\ufeff"), /begins with a byte order mark/u],
    [Buffer.from('\ufeff{"v":1}', "utf16le"), /is UTF-16/u],
    [Buffer.from('\ufeff{"v":1}', "utf16le").swap16(), /is UTF-16/u],
  ] as const) {
    t.throws(() => parseJson(bytes, 100, "policy"), { code: "json.invalid", message: why });
    t.throws(() => parseJson(bytes, 100, "policy"), { message: save });
  }
  t.throws(() => parseJson('\ufeff{"v":1}', 100, "policy"), { code: "json.invalid", message: save });
  t.same(parseJson('{"name":"\ufeff"}', 100, "policy"), { name: "\ufeff" }, "within a text it is a character");
});

test("[LCK-66] a member that is named twice is refused by its name, where people write the file", async (t) => {
  const refuse = (text: string): unknown => parseJson(text, 4096, "policy", { duplicates: "refused" });
  for (const [text, name] of [
    ['{"mode":"shut","mode":"enforce"}', "mode"],
    ['{"a":[{"b":1},{"b":2}],"c":{"d":1 ,\n"d"\t: 1}}', "d"],
    ['{"mode":1,"mo\\u0064e":2}', "mode"],
    ['{"a":{"b":{}},"c":[[{"x":"y"}]],"a":0}', "a"],
    ['{"__proto__":1,"__proto__":2}', "__proto__"],
    ['{"":1,"":2}', ""],
    ['{"\\u001b[2J":1,"\\u001b[2J":2}', "?[2J"],
  ] as const)
    t.throws(() => refuse(text), { code: "json.invalid", message: `names the member "${name}" twice` }, text);
  for (const text of [
    '{"a":{"a":[{"a":1},{"a":"a"}]}}',
    '{"a":"b","b":"a"}',
    '["a","a",{"x":"a:","y":"a:"}]',
    '{"a":"\\"a\\":","b":1}',
    '"a"',
    "[]",
  ])
    t.same(refuse(text), JSON.parse(text), text);
  t.throws(() => parseJson('{"key":1,"key":2}', 99, "file", { duplicates: "refused", quoting: "withheld" }), {
    message: /names a member twice/u,
  });
  t.same(parseJson('{"a":1,"a":2}', 99, "nft's listing"), { a: 2 }, "what programs write is not scanned");
});
