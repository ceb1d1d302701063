// Fetching for the warden, which has no network: it names a file, we bring it or say that there is none. [OTA-40]
import { Fault } from "../../hal/fault.ts";
import { ABSENT_PATHS_MAX, type WantedFile } from "../../warden/targets/format.ts";
import { WANTED_BYTES_MAX, WANTED_FILE_BYTES_MAX, WANTS_MAX } from "./limits.ts";
import type { StepContext } from "./ports.ts";

/**
 * [OTA-40] Asks again and again until nothing is wanted any more. What was brought stays in the drop until then: the warden keeps nothing between two questions.
 * Bounded in questions and bytes, whatever the warden wants.
 * @param ask the request, with what the repository has not.
 * @throws Fault `protocol.invalid` for a warden whose wants do not end; what `ask` refuses with; `fetch.*`, `tls.*`, `update.aborted`, `file.*`.
 */
export async function fetchWanted<A extends { readonly state: string }>(
  { repository, drop, signal }: Pick<StepContext, "repository" | "drop" | "signal">,
  ask: (absent: readonly string[]) => Promise<WantedFile | A>,
): Promise<A> {
  const asked = new Set<string>();
  const absent: string[] = [];
  let bytes = 0;
  for (;;) {
    const answer = await ask(absent);
    if (!isWanted(answer)) return answer;
    const { path, bytesMax, handoverName } = answer;
    if (asked.has(path)) throw endless(`it wants "${path}" again`);
    if (asked.size >= WANTS_MAX) throw endless(`more than ${WANTS_MAX} files`);
    asked.add(path);
    const file = await repository.get(path, Math.min(bytesMax, WANTED_FILE_BYTES_MAX), signal);
    if (file === undefined) {
      if (absent.length >= ABSENT_PATHS_MAX) throw endless(`more than ${ABSENT_PATHS_MAX} files that the repository has not`);
      absent.push(path);
      continue;
    }
    bytes += file.byteLength;
    if (bytes > WANTED_BYTES_MAX) throw endless(`files of more than ${WANTED_BYTES_MAX} bytes`);
    await drop.put(handoverName, file);
  }
}

function isWanted(answer: { readonly state: string }): answer is WantedFile {
  return answer.state === "wanted";
}

function endless(what: string): Fault {
  return new Fault("protocol.invalid", `bring files to the warden: ${what}, which is no end to what it wants`);
}
