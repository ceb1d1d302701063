// Names of state files: one path component that needs no escaping and cannot leave its directory.
import { join } from "node:path";
import { assert } from "../../fault.ts";

/** With its directory, the longest name stays far below PATH_MAX. */
const NAME_CHARACTERS_MAX = 128;
const NAME_PATTERN = /^[a-z0-9][a-z0-9._-]*$/;

/** It starts with a dot, which no name of a caller does. */
const TEMPORARY_PREFIX = ".new-";

export function isName(text: string): boolean {
  return NAME_PATTERN.test(text) && text.length <= NAME_CHARACTERS_MAX;
}

/** @throws Fault `assert.broken` for another name: names come from our code, never from input. */
export function pathOf(directory: string, name: string): string {
  assert(isName(name), `"${name}" is a state file's name`);
  return join(directory, name);
}

/** Where the new bytes of `name` grow until they are complete. Only one writer may use it. */
export function temporaryPathOf(directory: string, name: string): string {
  return join(directory, TEMPORARY_PREFIX + name);
}

export function isTemporary(entry: string): boolean {
  return entry.startsWith(TEMPORARY_PREFIX);
}
