// State files in memory, with faults on demand. test/contract runs one suite on these and on
// hal/linux.
import { assert, Fault, type FaultCode } from "../../../hal/fault.ts";
import type { AppendFiles, DurableFiles } from "../../../hal/ports.ts";

const NAME_PATTERN = /^[a-z0-9][a-z0-9._-]{0,127}$/;

/**
 * Faults to come. Only changes (put, append, truncate, remove) count and fail; reads still work.
 */
export interface FaultPlan {
  /** The number of changes so far. */
  readonly changes: number;
  /**
   * Makes the n-th change from now (1 is the next) fail once. Of an append, `prefixBytes` reach the
   * file first.
   */
  failAt(n: number, code: FaultCode, prefixBytes?: number): void;
  /** Every change fails from now on, until {@link heal}. */
  failAlways(code: FaultCode): void;
  heal(): void;
}

export interface FakeFiles extends DurableFiles {
  /** The content of the disk, for a test to look at and to tamper with. */
  readonly contents: Map<string, Uint8Array>;
  readonly faults: FaultPlan;
}

export interface FakeAppendFiles extends AppendFiles, AsyncDisposable {
  readonly contents: Map<string, Uint8Array>;
  readonly faults: FaultPlan;
}

export function fakeFiles(): FakeFiles {
  const contents = new Map<string, Uint8Array>();
  const faults = faultPlan();
  return {
    contents,
    faults,
    get: async (name, bytesMax) => read(contents, name, bytesMax),
    put: async (name, bytes) => {
      checkName(name);
      faults.change(`write "${name}"`);
      contents.set(name, Uint8Array.from(bytes));
    },
    remove: async (name) => {
      checkName(name);
      faults.change(`remove "${name}"`);
      contents.delete(name);
    },
  };
}

export function fakeAppendFiles(): FakeAppendFiles {
  const contents = new Map<string, Uint8Array>();
  const faults = faultPlan();
  const add = (name: string, bytes: Uint8Array): void => {
    contents.set(name, Uint8Array.from(Buffer.concat([contents.get(name) ?? new Uint8Array(), bytes])));
  };
  return {
    contents,
    faults,
    list: async () => [...contents.keys()].sort((a, b) => (a < b ? -1 : 1)),
    read: async (name, bytesMax) => read(contents, name, bytesMax),
    append: async (name, bytes) => {
      checkName(name);
      faults.change(`append to "${name}"`, (prefixBytes) => add(name, bytes.subarray(0, prefixBytes)));
      add(name, bytes);
    },
    write: async (name, at, bytes, reserveBytes = 0) => {
      checkName(name);
      const there = contents.get(name);
      if (at > 0 && at > (there?.byteLength ?? 0))
        throw new Fault("file.write-failed", `write to "${name}" at ${at}: it has ${there?.byteLength ?? "none"}`);
      const put = (part: Uint8Array): number => {
        const whole = new Uint8Array(Math.max(at + part.byteLength, contents.get(name)?.byteLength ?? 0));
        whole.set(contents.get(name) ?? []);
        whole.set(part, at);
        contents.set(name, whole);
        return whole.byteLength;
      };
      const reserved = Buffer.concat([bytes, new Uint8Array(reserveBytes)]);
      faults.change(`write to "${name}"`, (prefixBytes) => put(reserved.subarray(0, prefixBytes)));
      return put(reserved);
    },
    truncate: async (name, length) => {
      checkName(name);
      faults.change(`cut "${name}"`);
      const bytes = contents.get(name);
      if (bytes === undefined || length > bytes.byteLength)
        throw new Fault("file.write-failed", `cut "${name}" to ${length} bytes: it has ${bytes?.byteLength ?? "none"}`);
      contents.set(name, bytes.slice(0, length));
    },
    remove: async (name) => {
      checkName(name);
      faults.change(`remove "${name}"`);
      contents.delete(name);
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
}

function checkName(name: string): void {
  assert(NAME_PATTERN.test(name), `"${name}" is a state file's name`);
}

function read(contents: ReadonlyMap<string, Uint8Array>, name: string, bytesMax: number): Uint8Array | undefined {
  checkName(name);
  const bytes = contents.get(name);
  if (bytes !== undefined && bytes.byteLength > bytesMax)
    throw new Fault("file.too-large", `read "${name}": it has more than ${bytesMax} bytes`);
  return bytes === undefined ? undefined : Uint8Array.from(bytes);
}

interface RunningPlan extends FaultPlan {
  /** Counts a change and throws the fault that is planned for it. */
  change(action: string, beforeFault?: (prefixBytes: number) => void): void;
}

function faultPlan(): RunningPlan {
  let changes = 0;
  let always: FaultCode | undefined;
  const once = new Map<number, { readonly code: FaultCode; readonly prefixBytes: number }>();
  return {
    get changes() {
      return changes;
    },
    failAt: (n, code, prefixBytes = 0) => once.set(changes + n, { code, prefixBytes }),
    failAlways: (code) => {
      always = code;
    },
    heal: () => {
      always = undefined;
      once.clear();
    },
    change: (action, beforeFault) => {
      changes += 1;
      const planned = once.get(changes);
      const code = planned?.code ?? always;
      if (code === undefined) return;
      if (planned !== undefined) beforeFault?.(planned.prefixBytes);
      throw new Fault(code, `${action}: a fault was planned here`);
    },
  };
}
