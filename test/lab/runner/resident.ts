// The resident size of a process over waves of the same load: what is kept of each wave adds up.
import { readFileSync } from "node:fs";
import { assert } from "../../../hal/fault.ts";

/** VmRSS of proc_pid_status(5), in bytes. */
export function residentBytes(pid: number): number {
  const [, kib = "0"] = /^VmRSS:\s+(\d+) kB$/mu.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Number(kib) * 1024;
}

/**
 * V8 lets some 40 MiB of garbage lie before it collects its whole heap. Under this bound it does
 * so earlier, and a program that keeps more ends.
 */
export const SMALL_HEAP = "--max-old-space-size=64";
/** Noise of the allocators, and of garbage under {@link SMALL_HEAP}. */
export const GROWTH_BYTES_MAX = 12 * 1_048_576;
/** Waves between the two groups of levels that {@link grownBytes} compares. */
export const WAVES_BETWEEN = 6;
/** One wave fills caches, and there are three in each group. */
export const WAVES = 1 + 3 + WAVES_BETWEEN;

/**
 * What {@link WAVES_BETWEEN} waves add, from the smallest level of each group.
 * @param levels after each of {@link WAVES} waves, bytes.
 */
export function grownBytes(levels: readonly number[]): number {
  assert(levels.length === WAVES, `${WAVES} levels`);
  return Math.min(...levels.slice(-3)) - Math.min(...levels.slice(1, 4));
}

/** The levels for people, in MiB. */
export function levelsText(levels: readonly number[]): string {
  return `resident MiB after each wave: ${levels.map((bytes) => Math.round(bytes / 1_048_576)).join(", ")}`;
}
