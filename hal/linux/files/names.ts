// What a state file may be called: one path component that needs no escaping and cannot leave its directory.
import { join } from "node:path";
import { assert } from "../../fault.ts";
import { NAME_CHARACTERS_MAX } from "./limits.ts";

const NAME_PATTERN = /^[a-z0-9][a-z0-9._-]*$/;

/** Starts with a dot, so that no name of a caller's is ever taken for one. */
const TEMPORARY_PREFIX = ".new-";

export function isName(text: string): boolean {
  return NAME_PATTERN.test(text) && text.length <= NAME_CHARACTERS_MAX;
}

/** @throws Fault `assert.broken`: names are ours, never input. */
export function pathOf(directory: string, name: string): string {
  assert(isName(name), `"${name}" is a state file's name`);
  return join(directory, name);
}

/** Where the new bytes of `name` grow until they are whole. One at a time: writes of a directory take turns. */
export function temporaryPathOf(directory: string, name: string): string {
  return join(directory, TEMPORARY_PREFIX + name);
}

export function isTemporary(entry: string): boolean {
  return entry.startsWith(TEMPORARY_PREFIX);
}
