// Builds of nft other than the machine's own: shell scripts that behave as such a build does and
// have the machine's nft do the work.
import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { TestContext } from "../runner/context.ts";
import { temporaryDirectory } from "../runner/temporary.ts";

/** What the build does when it is called with `-i`; otherwise it is the machine's nft. */
const INTERACTIVE = {
  /** Configured with `--with-cli=no`. */
  "without an interactive mode": 'echo "nft: interactive CLI not supported in this build" >&2; exit 1',
  /** GNU readline prints its prompt and what it reads, also when it is no terminal. */
  "with readline":
    'while IFS= read -r line; do printf "nft> %s\\n" "$line"; printf "%s\\n" "$line" | nft -j -p -f -; done; printf "nft> \\n"',
} as const;
export type NftBuild = keyof typeof INTERACTIVE;

/** @returns the path of the build's program, for root. */
export async function nftBuild(t: TestContext, build: NftBuild): Promise<string> {
  const path = join(await temporaryDirectory(t), "nft");
  await writeFile(path, `#!/bin/sh\ncase " $* " in *" -i "*) ;; *) exec nft "$@" ;; esac\n${INTERACTIVE[build]}\nexit 0\n`);
  await chmod(path, 0o755);
  return path;
}
