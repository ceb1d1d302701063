// The original casync, as the counterpart of our indexes and chunks.
import { runProgram } from "../../../hal/linux/index.ts";
import { HANG_MS } from "../runner/process.ts";

const BOUNDS = { timeoutMs: HANG_MS, outputBytesMax: 65_536 };
/** casync stores what it compares in the home directory and in the temporary directory. */
const ENV = { PATH: "/usr/bin:/bin", LC_ALL: "C", HOME: "/nonexistent" };

export async function casyncMake(index: string, store: string, image: string, chunkSize = "65536"): Promise<void> {
  await runProgram("casync", ["make", `--chunk-size=${chunkSize}`, `--store=${store}`, index, image], { ...BOUNDS, env: ENV });
}

/** Without a seed, every byte of `image` comes from the store. */
export async function casyncExtract(index: string, store: string, image: string): Promise<void> {
  await runProgram("casync", ["extract", "--seed-output=no", `--store=${store}`, index, image], { ...BOUNDS, env: ENV });
}
