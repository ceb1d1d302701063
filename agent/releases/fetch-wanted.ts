// The fetching of files for the warden, which has no network: it names a file, and the agent brings
// the file or says that there is none. [OTA-40]
import { Fault } from "../../hal/fault.ts";
import { parseJson } from "../../hal/format/json.ts";
import { tryCheck } from "../../hal/format/schema.ts";
import { fetchFile } from "../../ota/fetch/index.ts";
import { MANIFEST_BYTES_MAX, type OsManifest, osManifestSchema } from "../../ota/install/format.ts";
import { ABSENT_PATHS_MAX, type WantedFile } from "../../warden/targets/format.ts";
import { WANTED_BYTES_MAX, WANTED_FILE_BYTES_MAX, WANTS_MAX } from "./limits.ts";
import type { StepContext } from "./ports.ts";

type Fetching = Pick<StepContext, "repository" | "drop" | "clock" | "random" | "signal">;

/**
 * [OTA-40] Repeats a request until the warden wants no more files. The files stay in the handover
 * directory until then, because the warden keeps nothing between two requests. Their number and
 * their bytes are bounded, also against a warden that is captured.
 * @param request the request, with the paths that the repository does not have.
 * @throws Fault `protocol.invalid` for a warden that wants without end; the refusals of `request`;
 *   `fetch.*`, `tls.*`, `update.aborted`, `file.*`.
 */
export async function fetchWanted<A extends { readonly state: string }>(
  context: Fetching,
  request: (absent: readonly string[]) => Promise<WantedFile | A>,
): Promise<A> {
  const { drop } = context;
  const hashes = new Map<string, string>();
  const wanted = new Set<string>();
  const absent: string[] = [];
  let bytes = 0;
  for (;;) {
    const answer = await request(absent);
    if (!isWanted(answer)) return answer;
    const { path, bytesMax, handoverName } = answer;
    if (wanted.has(path)) throw unbounded(`"${path}" for the second time`);
    if (wanted.size >= WANTS_MAX) throw unbounded(`more than ${WANTS_MAX} files`);
    wanted.add(path);
    const file = await fetchOne(context, path, Math.min(bytesMax, WANTED_FILE_BYTES_MAX), hashes);
    if (file === undefined) {
      if (absent.length >= ABSENT_PATHS_MAX) throw unbounded(`more than ${ABSENT_PATHS_MAX} files that do not exist`);
      absent.push(path);
      continue;
    }
    bytes += file.byteLength;
    if (bytes > WANTED_BYTES_MAX) throw unbounded(`files of more than ${WANTED_BYTES_MAX} bytes in all`);
    await drop.put(handoverName, file);
  }
}

/**
 * [OTA-78] What the warden gets is what was signed, as far as its hash is known here: a page of a
 * portal in the place of a manifest would end the release as the release's own fault.
 * @param hashes of files that manifests name, by path; those of this file are added.
 */
async function fetchOne(
  context: Fetching,
  path: string,
  bytesMax: number,
  hashes: Map<string, string>,
): Promise<Uint8Array | undefined> {
  const sha256 = hashes.get(path) ?? HASHED_NAME.exec(path)?.[1];
  if (sha256 === undefined) return expectMetadata(path, await context.repository.get(path, bytesMax, context.signal));
  // a manifest that somebody changed is for the warden to judge and to record
  const isOfItsKind = (bytes: Uint8Array): boolean => partsOf(bytes).length > 0;
  const file = await fetchFile(context, { path, bytesMax, sha256, isOfItsKind });
  if (file !== undefined) for (const { index } of partsOf(file)) hashes.set(index.path, index.sha256);
  return file;
}

/** A target in a consistent snapshot (TUF 7.2.2) has its hash in front of its name. */
const HASHED_NAME = /^targets\/(?:[^/]+\/)*([0-9a-f]{64})\.[^/]+$/u;

function partsOf(file: Uint8Array): OsManifest["parts"] {
  if (file.byteLength > MANIFEST_BYTES_MAX) return [];
  try {
    return tryCheck(osManifestSchema, parseJson(file, MANIFEST_BYTES_MAX, "manifest"))?.parts ?? [];
  } catch {
    return []; // another kind of target: the warden says what is wrong with it
  }
}

const OPENING_BRACE = 0x7b;
const SPACES: ReadonlySet<number> = new Set([0x09, 0x0a, 0x0d, 0x20]);

/**
 * All metadata are JSON objects. What does not even begin like one was not damaged on its way: it
 * comes from somebody else.
 * @throws Fault `trust.invalid`.
 */
export function expectMetadata(path: string, file: Uint8Array | undefined): Uint8Array | undefined {
  if (!path.startsWith("metadata/") || file === undefined) return file;
  if (file.find((byte) => !SPACES.has(byte)) === OPENING_BRACE) return file;
  throw new Fault("trust.invalid", `read "${path}": the repository answered with something else, expected a JSON object`);
}

function isWanted(answer: { readonly state: string }): answer is WantedFile {
  return answer.state === "wanted";
}

function unbounded(what: string): Fault {
  return new Fault("protocol.invalid", `fetch files for the warden: it wants ${what}`);
}
