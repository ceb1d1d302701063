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
  return fileFault(error, action, errno === "ELOOP" || errno === "ENXIO" ? "file.not-regular" : "file.read-failed");
}

function fileFault(error: unknown, action: string, code: FaultCode): Fault {
  if (error instanceof Fault) return error;
  return new Fault(code, `${action}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
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
