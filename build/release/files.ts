// Files of a repository, written durably. What fails is `release.store-failed`.
import { Fault } from "../../hal/fault.ts";
import {
  copyDurably,
  digestFile,
  type FileDigest,
  readContent,
  writeDurably,
  type WriteOptions,
} from "../../hal/linux/files/index.ts";

/**
 * [STA-1] Neither a power cut nor a reader ever meets half of the file.
 * @throws Fault `release.store-failed`.
 */
export async function putFile(path: string, bytes: Uint8Array, options?: WriteOptions): Promise<void> {
  await inStore(() => writeDurably(path, bytes, options));
}

/**
 * [STA-1] As {@link putFile}, with a copy of `from`, however large.
 * @throws Fault `release.store-failed`.
 */
export async function putCopy(from: string, path: string, options?: WriteOptions): Promise<void> {
  await inStore(() => copyDurably(from, path, options));
}

/**
 * The whole file.
 * @returns undefined when there is no such file.
 * @throws Fault `release.store-failed`, also above `bytesMax`.
 */
export async function getFile(path: string, bytesMax: number): Promise<Uint8Array | undefined> {
  return inStore(() => readContent(path, bytesMax));
}

/** @returns undefined when there is no such file. @throws Fault `release.store-failed`. */
export async function digestOf(path: string): Promise<FileDigest | undefined> {
  return inStore(() => digestFile(path));
}

async function inStore<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof Fault) throw new Fault("release.store-failed", error.message, { cause: error });
    throw error;
  }
}
