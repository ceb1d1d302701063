// tpm2-tools on a test's TPM: another program, by other people, for the same chip.
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runProgram } from "../../../hal/linux/process/index.ts";
import { HANG_MS } from "../runner/process.ts";
import type { Swtpm } from "./swtpm.ts";

export interface Tpm2Tools extends AsyncDisposable {
  /**
   * Runs `tpm2_TOOL`; an argument that starts with "./" is a file of its own directory.
   * @returns its standard output.
   * @throws Fault `process.failed` when the tool fails.
   */
  run(tool: string, ...args: readonly string[]): Promise<string>;
  read(name: string): Promise<Uint8Array>;
  write(name: string, content: Uint8Array | string): Promise<void>;
}

/** tpm2-tools have no resource manager here, so each tool must find a free slot. */
export async function openTpm2Tools({ tcti }: Pick<Swtpm, "tcti">): Promise<Tpm2Tools> {
  const directory = await mkdtemp(join(tmpdir(), "tpm2-tools-"));
  const path = (name: string): string => join(directory, name);
  const env = { PATH: "/usr/bin:/bin", TPM2TOOLS_TCTI: tcti, TSS2_LOG: "all+NONE" };
  return {
    run: async (tool, ...args) => {
      const words = args.map((word) => word.replace(/(^|:)\.\//u, `$1${directory}/`));
      return (await runProgram(`tpm2_${tool}`, words, { timeoutMs: HANG_MS, outputBytesMax: 65_536, env })).stdout;
    },
    read: async (name) => new Uint8Array(await readFile(path(name))),
    write: (name, content) => writeFile(path(name), content),
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  };
}
