// The list of fault codes is an interface: hubs, SIEM rules and people match on it.
import { readFileSync } from "node:fs";
import { test } from "tap";
import { asFault, assert, Fault, FAULT_CODES, FAULT_MESSAGE_BYTES_MAX } from "../../hal/fault.ts";

const pinned = readFileSync(new URL("../vectors/fault-codes.txt", import.meta.url), "utf8")
  .trimEnd()
  .split("\n");

test("the codes are those pinned in test/vectors/fault-codes.txt: none is missing and none was added unnoticed", async (t) => {
  t.same([...FAULT_CODES].sort(), pinned);
});

test("a foreign error keeps its message and becomes the cause; a Fault passes unchanged", async (t) => {
  const foreign = new RangeError("too far");
  const fault = asFault(foreign, "file.read-failed", 'read "a"');
  t.equal(fault.message, 'read "a": too far');
  t.equal(fault.cause, foreign);
  t.equal(asFault(fault, "lock.held", "other"), fault);
});

test("a fault is told although closing what it left open failed too, even twice", async (t) => {
  const fault = new Fault("hub.store-failed", "the store is damaged");
  const hidden = new SuppressedError(new RangeError("not closed"), new SuppressedError(new RangeError("nor this"), fault));
  t.equal(asFault(hidden, "assert.broken", "run"), fault);
});

test("a broken assumption is a fault of its own code", async (t) => {
  t.throws(() => assert(false, "two is one"), new Fault("assert.broken", "broken assumption: two is one"));
});

test("[STA-10] whatever a message is built from, it has at most 2 KiB, and it ends at a character", async (t) => {
  for (const text of ["a".repeat(1_000_000), "\u20ac".repeat(1000), "\u{1f600}".repeat(1000), "\ud800".repeat(3000)]) {
    const { message } = new Fault("json.invalid", text);
    t.ok(Buffer.byteLength(message) <= FAULT_MESSAGE_BYTES_MAX, `${Buffer.byteLength(message)} bytes`);
    t.ok(Buffer.byteLength(message) > FAULT_MESSAGE_BYTES_MAX - 8, "and no less than it may have");
    t.ok(message.isWellFormed());
    t.match(message, /\.\.\.$/u);
    t.ok(asFault(new RangeError(text), "file.read-failed", "read").message.length <= FAULT_MESSAGE_BYTES_MAX);
  }
  t.equal(new Fault("json.invalid", "b".repeat(FAULT_MESSAGE_BYTES_MAX)).message, "b".repeat(FAULT_MESSAGE_BYTES_MAX));
});
