// The gateway's units as they go onto the device, and how exposed systemd finds them.
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { Fault } from "../../../hal/fault.ts";
import { PROJECT } from "./sources.ts";

/** Laid over the root of the image. */
export const UNITS = `${PROJECT}build/units`;
export const SERVICES = `${UNITS}/usr/lib/systemd/system`;
/** Of the image alone, beside Debian's. */
export const IMAGE_SERVICES = `${PROJECT}build/image/root/usr/lib/systemd/system`;

export function unitNames(): readonly string[] {
  return readdirSync(SERVICES).sort((a, b) => (a < b ? -1 : 1));
}

/** A unit's text without its comments; or a drop-in's. */
export function settingsOf(unit: string): string {
  return readFileSync(`${SERVICES}/${unit}`, "utf8").replaceAll(/^#.*$/gmu, "");
}

/** 0 (shut) to 10, systemd-analyze(1). Of the unit alone: needs no systemd that runs. @throws Fault `process.failed`. */
export function exposureOf(unit: string, folder = SERVICES): number {
  const { stdout, stderr } = spawnSync("systemd-analyze", ["security", "--offline=true", "--no-pager", `${folder}/${unit}`], {
    encoding: "utf8",
  });
  const found = /Overall exposure level for \S+: (\d+\.\d+)/u.exec(stdout)?.[1];
  if (found === undefined) throw new Fault("process.failed", `score "${unit}": ${stderr.trim().slice(0, 500)}`);
  return Number(found);
}
