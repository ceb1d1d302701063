// Commands that work on a hub's store, whether it serves or not.
import { type DeviceId, deviceIdSchema, type Fingerprint, fingerprintSchema } from "../../hal/identity/format.ts";
import { check } from "../../hal/format/schema.ts";
import { type Authority, openAuthority } from "../authority/index.ts";
import { journalOf, type Note } from "../journal.ts";
import { privateFile, STATE_FILES } from "../state/files.ts";
import { openStore, type Store } from "../store/index.ts";
import type { Given } from "./command.ts";

export interface Opened {
  readonly authority: Authority;
  readonly store: Store;
  readonly journal: Note;
}

/** @throws Fault `hub.not-initialised`, and whatever `work` throws. */
export async function withState<T>(given: Given, work: (opened: Opened) => T | Promise<T>): Promise<T> {
  const state = given.text("state");
  const authority = openAuthority(state);
  const store = openStore(privateFile(state, STATE_FILES.store));
  try {
    return await work({ authority, store, journal: journalOf(store) });
  } finally {
    store.close();
  }
}

export function deviceIdOf(given: Given): DeviceId {
  return check(deviceIdSchema, given.arg("ID"), "ID", "usage.invalid");
}

export function fingerprintOf(text: string): Fingerprint {
  return check(fingerprintSchema, text.toLowerCase(), "FINGERPRINT", "usage.invalid");
}
