// The files between the warden and the script that wipes (build/units, wipe-state): the marker that
// asks for a wipe, and what the script says it did. [ID-59]
import { Fault } from "../../hal/fault.ts";
import type { DurableFiles } from "../../hal/ports.ts";
import { WIPED_BYTES_MAX } from "./limits.ts";
import type { Wiped } from "./machine.ts";

/** Beside the birth record. Its presence counts. */
const MARKER_FILE = "reset";
/** In the warden's directory. The script writes it when all is wiped but the birth record. */
const WIPED_FILE = "reset.wiped";

const WORDS = ["discarded", "overwritten", "untouched"] as const;

export interface ResetMarks {
  isMarked(): Promise<boolean>;
  mark(): Promise<void>;
  unmark(): Promise<void>;
  wiped(): Promise<Wiped | undefined>;
  forgetWiped(): Promise<void>;
}

export function createResetMarks(state: DurableFiles, marker: DurableFiles): ResetMarks {
  return {
    // a name without bytes is what a power cut left
    isMarked: async () => ((await present(marker, MARKER_FILE))?.byteLength ?? 0) > 0,
    mark: () => marker.put(MARKER_FILE, Buffer.from("wipe\n")),
    unmark: () => marker.remove(MARKER_FILE),
    wiped: async () => {
      const said = await present(state, WIPED_FILE);
      return said === undefined ? undefined : wipedFrom(Buffer.from(said).toString("latin1"));
    },
    forgetWiped: () => state.remove(WIPED_FILE),
  };
}

/** Something that cannot be read is there all the same. */
async function present(files: DurableFiles, name: string): Promise<Uint8Array | undefined> {
  try {
    return await files.get(name, WIPED_BYTES_MAX);
  } catch (error) {
    if (error instanceof Fault) return new Uint8Array();
    throw error;
  }
}

function wipedFrom(said: string): Wiped {
  const [, left, free] = /^left (\d{1,9})\nfree ([a-z]{1,16})\n$/u.exec(said) ?? [];
  return { left: left === undefined ? undefined : Number(left), free: WORDS.find((word) => word === free) ?? "unknown" };
}
