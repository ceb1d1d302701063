// What is wrong with the hub itself for as long as it lasts: its store fails, its clock does not
// fit its certificates or was stepped within the last hour, or the list of revoked certificates
// cannot be issued. It is said once when it begins and once when it is over: on stderr, in the
// journal, by /healthz, and by `alerts`, which reads it from a file. [STA-40]
import { closeSync, openSync, writeSync } from "node:fs";
import * as v from "valibot";
import type { Fault } from "../hal/fault.ts";
import { parseJson } from "../hal/format/json.ts";
import { check } from "../hal/format/schema.ts";
import { clip } from "../hal/format/text.ts";
import { privateFile, readStateFile, STATE_FILES } from "./state/index.ts";

export type TroubleKind = "clock" | "step" | "store" | "crl";

const MESSAGE_BYTES_MAX = 1024;
/** A full disk takes no new bytes: the file gets its size when the hub starts. */
const FILE_BYTES = 4096;

const troubleSchema = v.strictObject({
  kind: v.picklist(["clock", "step", "store", "crl"]),
  code: v.string(),
  message: v.string(),
  sinceMs: v.pipe(v.number(), v.safeInteger()),
});
export type Trouble = v.InferOutput<typeof troubleSchema>;

export interface TroublesOptions {
  /** The hub's state directory. */
  readonly state: string;
  readonly onBegin: (trouble: Trouble) => void;
  readonly onOver: (trouble: Trouble) => void;
}

export class Troubles {
  readonly #options: TroublesOptions;
  readonly #current = new Map<TroubleKind, Trouble>();
  readonly #descriptor: number | undefined;

  constructor(options: TroublesOptions) {
    this.#options = options;
    this.#descriptor = openFile(options.state);
    this.#write();
  }

  has(kind: TroubleKind): boolean {
    return this.#current.has(kind);
  }

  get all(): readonly Trouble[] {
    return [...this.#current.values()];
  }

  /** Does nothing while a trouble of that kind lasts. */
  begin(kind: TroubleKind, { code, message }: Fault): void {
    if (this.#current.has(kind)) return;
    const trouble = { kind, code, message: clip(message, MESSAGE_BYTES_MAX), sinceMs: Date.now() };
    this.#current.set(kind, trouble);
    this.#write();
    this.#options.onBegin(trouble);
  }

  /** @param fault undefined when all is well; another one than before is another trouble. */
  set(kind: TroubleKind, fault: Fault | undefined): void {
    const told = this.#current.get(kind)?.message;
    if (fault === undefined || (told !== undefined && told !== clip(fault.message, MESSAGE_BYTES_MAX))) this.end(kind);
    if (fault === undefined) return;
    this.begin(kind, fault);
  }

  end(kind: TroubleKind): void {
    const trouble = this.#current.get(kind);
    if (trouble === undefined) return;
    this.#current.delete(kind);
    this.#write();
    this.#options.onOver(trouble);
  }

  close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
  }

  /** Over the same bytes, which a full disk allows. What fails here is on stderr in any case. */
  #write(): void {
    if (this.#descriptor === undefined) return;
    try {
      writeSync(this.#descriptor, Buffer.from(JSON.stringify(this.all).padEnd(FILE_BYTES)), 0, FILE_BYTES, 0);
    } catch {
      return;
    }
  }
}

function openFile(state: string): number | undefined {
  try {
    return openSync(privateFile(state, STATE_FILES.troubles), "r+");
  } catch {
    return undefined;
  }
}

/**
 * What the hub on this state said last; a hub that was killed leaves what it had said.
 * @throws Fault `file.*`, `json.*`, `schema.invalid`.
 */
export function readTroubles(state: string): readonly Trouble[] {
  const text = readStateFile(state, STATE_FILES.troubles)?.trim() ?? "";
  if (text === "") return [];
  const what = `"${STATE_FILES.troubles}"`;
  return check(v.array(troubleSchema), parseJson(text, FILE_BYTES, what), what);
}

export function troubleText({ code, message, sinceMs }: Trouble): string {
  return `${new Date(sinceMs).toISOString()} trouble ${code}: ${message}`;
}
