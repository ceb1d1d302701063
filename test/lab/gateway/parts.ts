// What the virtual gateway needs of the machine. Apart from needs.ts: these packages are big, and nothing but whole-gateway tests wants them.
import { existsSync } from "node:fs";

export const FIRMWARE_CODE = "/usr/share/OVMF/OVMF_CODE_4M.fd";
export const FIRMWARE_VARIABLES = "/usr/share/OVMF/OVMF_VARS_4M.fd";

const PARTS = {
  "qemu-io": { path: "/usr/bin/qemu-io", why: "needs qemu-io: apt-get install qemu-utils" },
  qemu: { path: "/usr/bin/qemu-system-x86_64", why: "needs QEMU: apt-get install qemu-system-x86" },
  ovmf: { path: FIRMWARE_CODE, why: "needs UEFI firmware: apt-get install ovmf" },
  mmdebstrap: { path: "/usr/bin/mmdebstrap", why: "needs mmdebstrap: apt-get install mmdebstrap mtools dosfstools fdisk" },
  swtpm: { path: "/usr/bin/swtpm", why: "needs swtpm: apt-get install swtpm" },
} as const;

/** For tap's `skip` option. @returns false when every part is here, else the reasons. */
export function lacks(...parts: readonly (keyof typeof PARTS)[]): string | false {
  const missing = parts.filter((part) => !existsSync(PARTS[part].path)).map((part) => PARTS[part].why);
  return missing.length === 0 ? false : missing.join("; ");
}
