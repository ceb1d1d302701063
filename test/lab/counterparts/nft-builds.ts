// Builds of nft other than the machine's own: that of Debian 13, and shell scripts that behave as
// another build does and have the machine's nft do the work.
import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { TestContext } from "../runner/context.ts";
import { NFT_DEBIAN13 } from "../runner/needs.ts";
import { temporaryDirectory } from "../runner/temporary.ts";

/** What the build does when it is called with `-i`; otherwise it is the machine's nft. */
const INTERACTIVE = {
  /** Configured with `--with-cli=no`. */
  "without an interactive mode": 'echo "nft: interactive CLI not supported in this build" >&2; exit 1',
  /** GNU readline prints its prompt and what it reads, also when it is no terminal. */
  "with readline":
    'while IFS= read -r line; do printf "nft> %s\\n" "$line"; printf "%s\\n" "$line" | nft -j -p -f -; done; printf "nft> \\n"',
  /** Reads nothing, and its child holds the pipes too. */
  "that hangs": "sleep 1000 & exec sleep 1000",
} as const;
export type NftBuild = keyof typeof INTERACTIVE | "of Debian 13";

/** @returns the path of the build's program, for root. */
export async function nftBuild(t: TestContext, build: NftBuild): Promise<string> {
  if (build === "of Debian 13") return NFT_DEBIAN13;
  const path = join(await temporaryDirectory(t), "nft");
  await writeFile(path, `#!/bin/sh\ncase " $* " in *" -i "*) ;; *) exec nft "$@" ;; esac\n${INTERACTIVE[build]}\nexit 0\n`);
  await chmod(path, 0o755);
  return path;
}
