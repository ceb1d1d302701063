// The UEFI firmware of Debian's package `ovmf`; test/lab/runner/needs.ts checks for it.
export const FIRMWARE_CODE = "/usr/share/OVMF/OVMF_CODE_4M.fd";
/** The variables as they leave the factory: each machine writes to a copy of its own. */
export const FIRMWARE_VARIABLES = "/usr/share/OVMF/OVMF_VARS_4M.fd";
