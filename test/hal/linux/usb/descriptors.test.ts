// The descriptor parser: descriptors are an attacker's bytes.
import * as fc from "fast-check";
import { test } from "tap";
import { Fault } from "../../../../hal/fault.ts";
import { parseDescriptors } from "../../../../hal/linux/usb/index.ts";
import { BAD_STICK, descriptorsOf, KEYBOARD, STICK } from "../../../lab/fakes/usb-tree.ts";

const byte = fc.integer({ min: 0, max: 255 });
const hex = (value: number): string => value.toString(16).padStart(2, "0");
const triple = fc.tuple(byte, byte, byte).map((bytes) => bytes.map((one) => hex(one)).join(":"));

test("[LCK-8] vendor, product and the exact set of interfaces are read", async (t) => {
  t.same(parseDescriptors(descriptorsOf(STICK)), { vendor: "0951", product: "1666", interfaces: ["08:06:50"] });
  t.same(parseDescriptors(descriptorsOf(KEYBOARD)).interfaces, ["03:00:00", "03:01:01"]);
  t.same(parseDescriptors(descriptorsOf(BAD_STICK)).interfaces, ["03:01:01", "08:06:50"]);
});

test("[LCK-8] interfaces of every configuration and alternate setting count", async (t) => {
  const one = descriptorsOf(STICK);
  const two = descriptorsOf(KEYBOARD).slice(18);
  const both = Uint8Array.from([...one, ...two]);
  t.throws(() => parseDescriptors(both), { code: "usb.invalid" }, "one configuration is claimed, two are there");
  both[17] = 2;
  t.same(parseDescriptors(both).interfaces, ["03:00:00", "03:01:01", "08:06:50"]);
  // interface 0 again, as its alternate setting 1, of another class
  const alternate = Uint8Array.from([...one.slice(0, 20), 9 + 9 + 7 + 9, 0, ...one.slice(22), 9, 4, 0, 1, 0, 3, 1, 1, 0]);
  t.same(parseDescriptors(alternate).interfaces, ["03:01:01", "08:06:50"]);
});

test("[LCK-8] descriptors cut at any point, or with a byte too many, are refused", async (t) => {
  const whole = descriptorsOf(KEYBOARD);
  for (let length = 0; length < whole.byteLength; length++)
    t.throws(() => parseDescriptors(whole.slice(0, length)), { code: "usb.invalid" }, `${length} bytes`);
  t.throws(() => parseDescriptors(Uint8Array.from([...whole, 0])), { code: "usb.invalid" });
});

test("[LCK-8] any bytes are either parsed into the form of policies, or refused by their own code", async (t) => {
  const noise = fc.uint8Array({ maxLength: 300 });
  const mutated = fc
    .tuple(fc.constantFrom(STICK, KEYBOARD, BAD_STICK), fc.array(fc.tuple(fc.nat(80), byte), { minLength: 1, maxLength: 4 }))
    .map(([device, changes]) => {
      const bytes = descriptorsOf(device);
      for (const [at, value] of changes) if (at < bytes.byteLength) bytes[at] = value;
      return bytes;
    });
  fc.assert(
    fc.property(fc.oneof(noise, mutated), (bytes) => {
      try {
        const { vendor, product, interfaces } = parseDescriptors(bytes);
        return (
          /^[0-9a-f]{4}:[0-9a-f]{4}$/u.test(`${vendor}:${product}`) &&
          interfaces.every((one) => /^[0-9a-f]{2}(:[0-9a-f]{2}){2}$/u.test(one))
        );
      } catch (error) {
        return error instanceof Fault && error.code === "usb.invalid";
      }
    }),
    { numRuns: 3000 },
  );
  t.pass("no other outcome");
});

test("[LCK-8] what is written is what is read, for any set of interfaces", async (t) => {
  fc.assert(
    fc.property(fc.array(triple, { minLength: 1, maxLength: 30 }), (interfaces) => {
      const found = parseDescriptors(descriptorsOf({ vendor: "1a2b", product: "3c4d", interfaces })).interfaces;
      return found.join() === [...new Set(interfaces)].sort().join();
    }),
    { numRuns: 200 },
  );
  t.pass("for all");
});
