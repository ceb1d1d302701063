// Recognising errors of the operating system by the name of their errno.
import { errnoOf } from "../hal/linux/files/index.ts";

/** Whether `error` has one of `codes`, such as `ENOENT`. */
export function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  const errno = errnoOf(error);
  return errno !== undefined && codes.includes(errno);
}
