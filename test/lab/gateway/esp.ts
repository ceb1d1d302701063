// The kernel images on a gateway's EFI system partition, read with mtools, as an attacker would who
// took the disk out.
import { open, rm } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../../build/image/run.ts";
import type { Gateway } from "./gateway.ts";
import { ESP } from "./images.ts";

const MEBIBYTE = 1_048_576;
const KERNEL = /\/EFI\/Linux\/([^/]+\.efi)$/iu;

/**
 * @returns the names of the kernel images in EFI/Linux, sorted, as they are durable at this moment,
 * without the folders of add-ons beside them.
 * @param directory for a copy of the partition, which is removed.
 */
export async function kernelNames(gateway: Pick<Gateway, "readDisk">, directory: string): Promise<readonly string[]> {
  const image = join(directory, "esp.img");
  await copyEsp(gateway, image);
  try {
    return (await run("mdir", ["-b", "-i", image, "::/EFI/Linux"]))
      .split("\n")
      .flatMap((line) => KERNEL.exec(line)?.[1] ?? [])
      .toSorted();
  } finally {
    await rm(image);
  }
}

/** Reads everything before the first await, so that it is of one moment. Zeros become holes. */
async function copyEsp(gateway: Pick<Gateway, "readDisk">, image: string): Promise<void> {
  const zeroes = Buffer.alloc(MEBIBYTE);
  const pieces: { readonly at: number; readonly piece: Buffer }[] = [];
  for (let at = ESP.from; at < ESP.to; at += MEBIBYTE) {
    const piece = gateway.readDisk(at, MEBIBYTE);
    if (!piece.equals(zeroes)) pieces.push({ at: at - ESP.from, piece });
  }
  await using file = await open(image, "wx");
  await file.truncate(ESP.to - ESP.from);
  for (const { at, piece } of pieces) await file.write(piece, 0, piece.length, at);
}
