// Fault codes for the errors of the file system.
import { Fault, type FaultCode } from "../../fault.ts";

/** @returns the errno's name (`ENOENT`), or undefined when `error` is not a system error. */
export function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

/**
 * @returns a Fault for a failed change of the disk: `file.no-space`, `file.read-only`, otherwise
 *   `file.write-failed`. A Fault is returned unchanged.
 */
export function writeFault(error: unknown, action: string): Fault {
  return fileFault(error, action, writeCode(errnoOf(error)));
}

/**
 * @returns a Fault for a failed read: `file.not-regular` where the path is a link (ELOOP) or a
 *   socket (ENXIO), otherwise `file.read-failed`. A Fault is returned unchanged.
 */
export function readFault(error: unknown, action: string): Fault {
  const errno = errnoOf(error);
  return fileFault(error, action, ["ELOOP", "ENXIO", "ENODEV"].includes(errno ?? "") ? "file.not-regular" : "file.read-failed");
}

function fileFault(error: unknown, action: string, code: FaultCode): Fault {
  if (error instanceof Fault) return error;
  return new Fault(code, `${action}: ${plainWords(error)}`, { cause: error });
}

/** Errno's own words say nothing about what was found. */
const FOUND: Readonly<Record<string, string>> = {
  ELOOP: "it is a link, and not a regular file",
  ENXIO: "it is a pipe, a socket or a device, and not a regular file",
  ENODEV: "it is a device without a driver, and not a regular file",
};

/**
 * The action names what it is about. Node adds the call and the path that was opened, which may be
 * one of ours (/proc/self/fd) that means nothing to a person.
 */
function plainWords(error: unknown): string {
  const words = error instanceof Error ? error.message : String(error);
  const found = FOUND[errnoOf(error) ?? ""];
  if (found !== undefined) return found;
  return error instanceof Error && "syscall" in error ? words.replace(/, [a-z_0-9]+(?: '.*)?$/su, "") : words;
}

function writeCode(errno: string | undefined): FaultCode {
  switch (errno) {
    case "ENOSPC":
    case "EDQUOT":
      return "file.no-space";
    case "EROFS":
    case "EACCES":
    case "EPERM":
      return "file.read-only";
    default:
      return "file.write-failed";
  }
}
