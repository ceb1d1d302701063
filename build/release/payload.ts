// The check of a target's content before it is signed: a device would refuse content that it cannot
// read, and its counter would be used up. [OTA-64] [LCK-1] [OPS-8]
import { stat } from "node:fs/promises";
import { Fault } from "../../hal/fault.ts";
import { quoted } from "../../hal/format/text.ts";
import { MANIFEST_BYTES_MAX } from "../../ota/install/format.ts";
import { parsePolicy, POLICY_BYTES_MAX } from "../../warden/lockdown/format/index.ts";
import { parseRoster, ROSTER_BYTES_MAX } from "../../warden/roster/format.ts";
import { getFile } from "./files.ts";
import { parseManifest } from "./image.ts";
import { TARGET_BYTES_MAX } from "./limits.ts";

/**
 * @throws Fault `usage.invalid`, with every defect. A missing file is left for addTarget to report.
 */
export async function checkPayload(target: string, file: string): Promise<void> {
  const kind = KINDS.find(({ role }) => target.startsWith(`${role}/`));
  const what = `target ${quoted(target)}: "${file}"`;
  // Before a byte of it is read: a sparse file takes no room, and hours to be hashed.
  const size = (await stat(file).catch(() => undefined))?.size;
  const { what: content, bytesMax, hint } = kind ?? OTHER;
  if (size !== undefined && size > bytesMax)
    throw new Fault("usage.invalid", `${what} has ${size} bytes, but a ${content} has at most ${bytesMax}${hint}`);
  if (kind === undefined) return;
  const bytes = await getFile(file, kind.bytesMax);
  if (bytes === undefined) return;
  try {
    kind.read(bytes);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    throw new Fault("usage.invalid", `${what} is not a ${kind.what} that a device accepts: ${error.message}${kind.hint}`, {
      cause: error,
    });
  }
}

interface Kind {
  readonly role: string;
  readonly what: string;
  readonly bytesMax: number;
  readonly hint: string;
  readonly read: (bytes: Uint8Array) => unknown;
}

/** What no program of ours reads, such as `app/`. */
const OTHER = { what: "target", bytesMax: TARGET_BYTES_MAX, hint: "; larger things are images of an os/ release" } as const;

const KINDS: readonly Kind[] = [
  {
    role: "os",
    what: "manifest of parts",
    bytesMax: MANIFEST_BYTES_MAX,
    hint: "; for images: --part root=IMAGE --part kernel=IMAGE",
    read: parseManifest,
  },
  { role: "policy", what: "policy", bytesMax: POLICY_BYTES_MAX, hint: "", read: parsePolicy },
  { role: "operators", what: "roster", bytesMax: ROSTER_BYTES_MAX, hint: "", read: parseRoster },
];
