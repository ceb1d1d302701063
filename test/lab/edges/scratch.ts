// A directory for edges that read files. It is made when the first one is written, and removed with
// the process.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

class Scratch {
  #directory: string | undefined;

  /** @returns the path of `name`, which need not exist. */
  path(name: string): string {
    if (this.#directory === undefined) {
      const directory = mkdtempSync(join(tmpdir(), "test-edges-"));
      process.once("exit", () => rmSync(directory, { recursive: true, force: true }));
      this.#directory = directory;
    }
    return join(this.#directory, name);
  }

  /** Writes a file that only its owner can read. @returns its path. */
  write(name: string, bytes: Uint8Array | string): string {
    const path = this.path(name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, bytes, { mode: 0o600 });
    return path;
  }
}

export const scratch = new Scratch();
