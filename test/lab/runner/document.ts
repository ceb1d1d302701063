// The commands of a document, so that a test runs what people read.
import { spawn } from "node:child_process";
import { Fault } from "../../../hal/fault.ts";
import { environment } from "./process.ts";
import { readProjectFile } from "./sources.ts";

export interface Commands {
  readonly heading: string;
  readonly text: string;
}

/** @returns the blocks that are marked as `sh`, in their order, each with the heading above it. */
export function commandsOf(path: string): readonly Commands[] {
  const sections = readProjectFile(path).split(/^##? /mu);
  return sections.flatMap((section) => {
    const heading = section.slice(0, section.indexOf("\n"));
    return [...section.matchAll(/^```sh\n([^]*?)^```$/gmu)].map(([, text = ""]) => ({ heading, text }));
  });
}

/**
 * Runs a block in `directory`, as a shell that stops at the first command that fails.
 * @param programs directory that is looked into first.
 * @returns both outputs.
 * @throws Fault `process.failed` with them.
 */
export async function runCommands(directory: string, programs: string, text: string): Promise<string> {
  const words = environment({ PATH: `${programs}:/usr/sbin:/usr/bin:/sbin:/bin`, HOME: directory });
  const child = spawn("/usr/bin/env", ["-i", ...words, "sh", "-eu", "-c", text], {
    cwd: directory,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const output: string[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (bytes: Buffer) => output.push(bytes.toString()));
  // Not `close`: what the block leaves running has our pipes.
  const code = await new Promise<number | null>((resolve) => child.on("exit", resolve));
  if (code !== 0) throw new Fault("process.failed", `exit ${code} of\n${text}\n${output.join("")}`);
  return output.join("");
}
