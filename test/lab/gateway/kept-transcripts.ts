// Transcripts of gateways for failed tests, stored as files where SALLYPORT_TRANSCRIPTS (set by
// `npm run test:gateway`) names a folder.
import { randomUUID } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";

const FOLDER = process.env["SALLYPORT_TRANSCRIPTS"];
const SHOWN_LINES = 60;

/**
 * @param what of this gateway: "serial" or "log". Does nothing without that folder or without text.
 */
export async function keepTranscript(what: string, text: string): Promise<void> {
  if (FOLDER === undefined || text === "") return;
  const test = basename(process.argv[1] ?? "gateway");
  await writeFile(join(FOLDER, `${test}.${Date.now()}-${randomUUID().slice(0, 8)}.${what}.txt`), text);
}

/** @returns the ends of the transcripts of one test file. */
export async function keptTranscripts(folder: string, test: string): Promise<string> {
  const names = (await readdir(folder)).filter((name) => name.startsWith(`${basename(test)}.`)).toSorted();
  const ends = names.map(async (name) => {
    const path = join(folder, name);
    const lines = (await readFile(path, "utf8")).trimEnd().split("\n");
    return `== the end of ${path}\n${lines.slice(-SHOWN_LINES).join("\n")}`;
  });
  return (await Promise.all(ends)).join("\n\n");
}
