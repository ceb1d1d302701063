// The gateway's units as they are on the device, and their exposure as systemd rates it.
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { assert, Fault } from "../../../hal/fault.ts";
import { PROJECT } from "./sources.ts";

/** The folder that is laid over the root of the image. */
export const UNITS = `${PROJECT}build/units`;
export const SERVICES = `${UNITS}/usr/lib/systemd/system`;
/** Units of the image alone, beside Debian's. */
export const IMAGE_SERVICES = `${PROJECT}build/image/root/usr/lib/systemd/system`;

export function unitNames(): readonly string[] {
  return readdirSync(SERVICES).sort((a, b) => (a < b ? -1 : 1));
}

/** @returns the text of a unit or a drop-in without its comments. */
export function settingsOf(unit: string): string {
  return readFileSync(`${SERVICES}/${unit}`, "utf8").replaceAll(/^#.*$/gmu, "");
}

export interface UnitStart {
  /** Options of Node itself. */
  readonly options: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/**
 * How a unit starts Node. Tests and benches start the programs in the same way, because options
 * decide how fast and how large a program is.
 * @throws Fault `assert.broken` when the unit starts no Node.
 */
export function startOf(unit: string): UnitStart {
  const settings = settingsOf(unit);
  const options = /^ExecStart=.*?\/usr\/lib\/sallyport\/node ((?:--\S+ )*)\//mu.exec(settings)?.[1];
  assert(options !== undefined, `"${unit}" starts Node`);
  const variables = [...settings.matchAll(/^Environment=(.+)$/gmu)].flatMap(([, line = ""]) => line.split(" "));
  return {
    options: options.split(" ").filter((option) => option !== ""),
    env: Object.fromEntries(variables.map((variable) => [variable.replace(/=.*$/u, ""), variable.replace(/^[^=]*=/u, "")])),
  };
}

/**
 * @returns 0 (closed) to 10, systemd-analyze(1). It rates the unit alone and needs no running
 * systemd.
 * @throws Fault `process.failed`.
 */
export function exposureOf(unit: string, folder = SERVICES): number {
  const { stdout, stderr } = spawnSync("systemd-analyze", ["security", "--offline=true", "--no-pager", `${folder}/${unit}`], {
    encoding: "utf8",
  });
  const found = /Overall exposure level for \S+: (\d+\.\d+)/u.exec(stdout)?.[1];
  if (found === undefined) throw new Fault("process.failed", `score "${unit}": ${stderr.trim().slice(0, 500)}`);
  return Number(found);
}
