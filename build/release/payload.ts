// What a target holds, looked at before it is signed: what a device could not read it would refuse, and its counter is gone by then. [OTA-30] [LCK-1] [OPS-8]
import { Fault } from "../../hal/fault.ts";
import { MANIFEST_BYTES_MAX } from "../../ota/install/format.ts";
import { parsePolicy, POLICY_BYTES_MAX } from "../../warden/lockdown/format/index.ts";
import { parseRoster, ROSTER_BYTES_MAX } from "../../warden/roster/format.ts";
import { digestOf, getFile } from "./files.ts";
import { parseManifest } from "./image.ts";

/** @throws Fault `usage.invalid`, naming every fault of it. A file that is not there is for addTarget to miss. */
export async function checkPayload(target: string, file: string): Promise<void> {
  const kind = KINDS.find(({ role }) => target.startsWith(`${role}/`));
  const digest = kind === undefined ? undefined : await digestOf(file);
  if (kind === undefined || digest === undefined) return;
  const what = `target "${target}": "${file}"`;
  if (digest.length > kind.bytesMax)
    throw new Fault("usage.invalid", `${what} has ${digest.length} bytes, a ${kind.what} at most ${kind.bytesMax}${kind.hint}`);
  const bytes = await getFile(file, kind.bytesMax);
  if (bytes === undefined) return;
  try {
    kind.read(bytes);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    throw new Fault("usage.invalid", `${what} is no ${kind.what} that a device takes: ${error.message}${kind.hint}`, {
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
