// The fetching of files for the warden, which has no network: it names a file, and the agent brings
// the file or says that there is none. [OTA-40]
import { Fault } from "../../hal/fault.ts";
import { ABSENT_PATHS_MAX, type WantedFile } from "../../warden/targets/format.ts";
import { WANTED_BYTES_MAX, WANTED_FILE_BYTES_MAX, WANTS_MAX } from "./limits.ts";
import type { StepContext } from "./ports.ts";

/**
 * [OTA-40] Repeats a request until the warden wants no more files. The files stay in the handover
 * directory until then, because the warden keeps nothing between two requests. Their number and
 * their bytes are bounded, also against a warden that is captured.
 * @param request the request, with the paths that the repository does not have.
 * @throws Fault `protocol.invalid` for a warden that wants without end; the refusals of `request`;
 *   `fetch.*`, `tls.*`, `update.aborted`, `file.*`.
 */
export async function fetchWanted<A extends { readonly state: string }>(
  { repository, drop, signal }: Pick<StepContext, "repository" | "drop" | "signal">,
  request: (absent: readonly string[]) => Promise<WantedFile | A>,
): Promise<A> {
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
    const file = await repository.get(path, Math.min(bytesMax, WANTED_FILE_BYTES_MAX), signal);
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

function isWanted(answer: { readonly state: string }): answer is WantedFile {
  return answer.state === "wanted";
}

function unbounded(what: string): Fault {
  return new Fault("protocol.invalid", `fetch files for the warden: it wants ${what}`);
}
