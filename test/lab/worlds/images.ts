// Disk images for tests of updates: the same bytes every time, compressible in parts and with
// repeats, as file systems are.
import { createHash } from "node:crypto";

/** @param seed with another seed the image is another one. */
export function imageOf(bytes: number, seed = "image"): Buffer {
  const image = Buffer.alloc(bytes);
  let block = createHash("sha512").update(seed).digest();
  for (let at = 0; at < bytes; at += 4096) {
    block = createHash("sha512").update(block).digest();
    const kind = block.readUInt8(0) % 4;
    if (kind === 0) continue; // a hole
    if (kind === 1) image.fill(`${seed} text `, at, Math.min(at + 4096, bytes));
    else
      for (let part = at; part < Math.min(at + 4096, bytes); part += block.byteLength) {
        block.copy(image, part);
        block = createHash("sha512").update(block).digest();
      }
  }
  return image;
}
