// Counts what the code under test copies, walks or parses through the built-in functions of
// buffers, strings, lists, objects and JSON: bytes, characters and items. The count depends on the
// input only, never on the machine, so that a test can bound it. What is written as a loop of our
// own is not seen here: its calls are counted elsewhere.
import crypto from "node:crypto";
import { syncBuiltinESMExports } from "node:module";
import zlib from "node:zlib";
import { Fault } from "../../../hal/fault.ts";

/** What one call cost, from its receiver, its arguments and its result, if it has one. */
type Cost = (self: unknown, args: readonly unknown[], result: unknown) => number;

const received: Cost = (self) => sizeOf(self);
const made: Cost = (_self, _args, result) => sizeOf(result);
const given: Cost = (_self, [first]) => sizeOf(first);
/** A view of memory is not a copy of it. */
const madeFrom: Cost = (_self, [first], result) => (first instanceof ArrayBuffer ? 0 : sizeOf(result));
/** A search ends where it finds something. */
const searched: Cost = (self, [, from], result) => {
  const start = typeof from === "number" ? from : 0;
  return Math.max(0, (typeof result === "number" && result >= 0 ? result : sizeOf(self)) - start);
};

const TYPED_ARRAY: unknown = Object.getPrototypeOf(Uint8Array.prototype);

const COUNTED: readonly (readonly [owner: unknown, cost: Cost, names: readonly PropertyKey[]])[] = [
  [Buffer, madeFrom, ["from"]],
  [Buffer, made, ["concat"]],
  [Buffer, given, ["byteLength"]],
  [Buffer.prototype, made, ["toString", "utf8Slice", "latin1Slice", "hexSlice", "base64Slice"]],
  [Buffer.prototype, received, ["equals", "compare"]],
  [Buffer.prototype, searched, ["indexOf"]],
  [Uint8Array, made, ["from"]],
  [TYPED_ARRAY, made, ["slice", "map", "filter", "toSorted", "toReversed"]],
  [TYPED_ARRAY, given, ["set"]],
  [TYPED_ARRAY, received, ["every", "some", "reduce", "find", "join", "sort", Symbol.iterator]],
  [TYPED_ARRAY, searched, ["indexOf"]],
  [TextDecoder.prototype, given, ["decode"]],
  [TextEncoder.prototype, made, ["encode"]],
  [JSON, given, ["parse"]],
  [JSON, made, ["stringify"]],
  [String.prototype, received, ["split", "replace", "replaceAll", "trim", "trimStart", "trimEnd", "match", "includes"]],
  [String.prototype, received, ["toLowerCase", "toUpperCase", "normalize", "toWellFormed", "isWellFormed"]],
  [String.prototype, made, ["concat", "repeat", "padStart", "padEnd"]],
  [String.prototype, searched, ["indexOf"]],
  [Array, made, ["from"]],
  [Array.prototype, made, ["concat", "slice", "flat", "flatMap", "join"]],
  [Array.prototype, received, ["map", "filter", "sort", "toSorted", "reverse", "every", "some", "reduce", "forEach"]],
  [Array.prototype, received, ["find", "findIndex", "findLast", "includes", "indexOf", Symbol.iterator]],
  [Object, made, ["keys", "values", "entries"]],
  [zlib, given, ["crc32"]],
  [crypto.Hash.prototype, given, ["update"]],
  [Object, (_self, _args, result) => itemsOf(result), ["fromEntries", "assign"]],
];

export class CopyCounter {
  #count = 0;
  #isCounting = false;

  /** Wraps the built-in functions for the rest of the process: use it in a process of its own. */
  constructor() {
    for (const [owner, cost, names] of COUNTED) for (const name of names) this.#wrap(owner, name, cost);
    this.#wrapExec();
    syncBuiltinESMExports();
  }

  /** @returns what `work` copies on its way to its result or its fault, in bytes and items. */
  async during(work: () => unknown): Promise<number> {
    this.#count = 0;
    this.#isCounting = true;
    try {
      await work();
    } catch {
      // whether it may be refused is judged elsewhere
    } finally {
      this.#isCounting = false;
    }
    return this.#count;
  }

  #wrap(owner: unknown, name: PropertyKey, cost: Cost): void {
    const original = methodOf(owner, name);
    const add = (self: unknown, args: readonly unknown[], result: unknown): void => {
      if (this.#isCounting) this.#count += cost(self, args, result);
    };
    replace(owner, name, function (this: unknown, ...args: unknown[]): unknown {
      let result: unknown;
      try {
        result = Reflect.apply(original, this, args);
        return result;
      } finally {
        add(this, args, result);
      }
    });
  }

  /** A search of a regular expression begins where the last one ended, and ends at its match. */
  #wrapExec(): void {
    const original = methodOf(RegExp.prototype, "exec");
    const add = (count: number): void => {
      if (this.#isCounting) this.#count += count;
    };
    replace(RegExp.prototype, "exec", function (this: unknown, ...args: unknown[]): unknown {
      const from = this instanceof RegExp && (this.global || this.sticky) ? this.lastIndex : 0;
      const result: unknown = Reflect.apply(original, this, args);
      const isTriedOnce = result === null && this instanceof RegExp && this.sticky;
      const end = isMatch(result) ? result.index + result[0].length : sizeOf(args[0]);
      add(isTriedOnce ? 1 : Math.max(0, end - from));
      return result;
    });
  }
}

function isMatch(result: unknown): result is RegExpExecArray {
  return Array.isArray(result) && "index" in result;
}

function methodOf(owner: unknown, name: PropertyKey): (...args: unknown[]) => unknown {
  const method: unknown = typeof owner === "object" || typeof owner === "function" ? Reflect.get(owner ?? {}, name) : undefined;
  if (isFunction(method)) return method;
  throw new Fault("assert.broken", `there is no built-in function ${String(name)} to count`);
}

function isFunction(value: unknown): value is (...args: unknown[]) => unknown {
  return typeof value === "function";
}

function replace(owner: unknown, name: PropertyKey, value: (...args: unknown[]) => unknown): void {
  Object.defineProperty(owner, name, { configurable: true, writable: true, enumerable: false, value });
}

/** Bytes of a buffer, characters of a text, items of a list. */
function sizeOf(value: unknown): number {
  if (typeof value === "string") return value.length;
  if (value instanceof Uint8Array) return value.byteLength;
  return Array.isArray(value) ? value.length : 0;
}

function itemsOf(value: unknown): number {
  let items = 0;
  for (const name in Object(value)) if (name !== "") items += 1;
  return items;
}
