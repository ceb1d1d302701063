// Where Debian's package `ovmf` keeps the UEFI firmware; test/lab/runner/needs.ts asks for it.
export const FIRMWARE_CODE = "/usr/share/OVMF/OVMF_CODE_4M.fd";
/** As it leaves the factory: each machine writes into a copy of its own. */
export const FIRMWARE_VARIABLES = "/usr/share/OVMF/OVMF_VARS_4M.fd";
