// File helpers of the image builder. Nothing here is durable: an interrupted build starts again.
import { access, mkdir, open, writeFile } from "node:fs/promises";
import { dirname } from "node:path";

export async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** Writes `path`, and makes its directory where it is missing. */
export async function writeFileIn(path: string, content: string | Uint8Array, mode = 0o644): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content, { mode });
}

/** Copies `from` into `into` at `offset`. Blocks of zeros stay holes. */
export async function copyInto(into: string, from: string, offset: number): Promise<void> {
  await using source = await open(from, "r");
  await using target = await open(into, "r+");
  const block = Buffer.alloc(1_048_576);
  const zeroes = Buffer.alloc(block.byteLength);
  for (let position = 0; ;) {
    const { bytesRead } = await source.read(block, 0, block.byteLength, position);
    if (bytesRead === 0) return;
    const bytes = block.subarray(0, bytesRead);
    if (!bytes.equals(zeroes.subarray(0, bytesRead))) await target.write(bytes, 0, bytesRead, offset + position);
    position += bytesRead;
  }
}
