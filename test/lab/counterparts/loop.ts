// A block device for one test: a file behind a loop device.
import { spawnSync } from "node:child_process";
import { truncate, writeFile } from "node:fs/promises";
import { Fault } from "../../../hal/fault.ts";
import { needs } from "../runner/needs.ts";
import type { TestContext } from "../runner/context.ts";

/** For tap's `skip` option. */
export function needsLoop(): string | false {
  const root = needs("root");
  if (root !== false) return root;
  return spawnSync("losetup", ["--find"]).status === 0 ? false : "needs loop devices: the kernel module loop";
}

/** @returns the device's path. The device is removed with the test. */
export async function loopDevice(t: TestContext, file: string, bytes: number): Promise<string> {
  await writeFile(file, "an older system\n".repeat(1000));
  await truncate(file, bytes);
  const { status, stdout, stderr } = spawnSync("losetup", ["--find", "--show", file], { encoding: "utf8" });
  if (status !== 0) throw new Fault("process.failed", `make a loop device: ${stderr}`);
  const device = stdout.trim();
  t.teardown(() => void spawnSync("losetup", ["--detach", device]));
  return device;
}
