// What commands share that work on a hub's state, whether the hub runs or not.
import { userInfo } from "node:os";
import * as v from "valibot";
import { type DeviceId, deviceIdSchema, type Fingerprint, fingerprintSchema } from "../../hal/format/identity.ts";
import { type Authority, loadAuthority } from "../authority/index.ts";
import { createJournalWriter, type JournalWriter } from "../journal.ts";
import { privateFile, STATE_FILES } from "../state/index.ts";
import { openStore, type Store } from "../store/index.ts";
import type { Given } from "./command.ts";
import { check } from "../../hal/format/schema.ts";
import { quoted } from "../../hal/format/text.ts";

/** The state directory when neither --state nor the environment names one. */
export const STATE_DEFAULT = "/var/lib/sallyport-hub";
export const STATE_VARIABLE = "SALLYPORT_HUB_STATE";

const digestSchema = v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/, "expected 32 hex digits"));

export interface Opened {
  readonly authority: Authority;
  readonly store: Store;
  readonly journal: JournalWriter;
}

/**
 * @returns --state, otherwise the environment's directory, otherwise the default.
 * @throws Fault `usage.invalid` for an empty --state.
 */
export function stateOf(given: Given): string {
  if (given.optionalText("state") !== undefined) return given.text("state");
  const fromEnvironment = process.env[STATE_VARIABLE];
  return fromEnvironment === undefined || fromEnvironment === "" ? STATE_DEFAULT : fromEnvironment;
}

/** @throws Fault `hub.not-initialised`, and what `work` throws. */
export async function withState<T>(given: Given, work: (opened: Opened) => T | Promise<T>): Promise<T> {
  const state = stateOf(given);
  const authority = loadAuthority(state);
  const store = await openStore(privateFile(state, STATE_FILES.store));
  try {
    return await work({ authority, store, journal: createJournalWriter(store) });
  } finally {
    await store.close();
  }
}

/** The operator's user name, for the journal. */
export function operator(): string {
  return userInfo().username;
}

export function deviceIdOf(given: Given): DeviceId {
  return typed(deviceIdSchema, given.arg("ID"), "ID");
}

export function fingerprintOf(text: string, what: string): Fingerprint {
  return typed(fingerprintSchema, text.trim().toLowerCase(), what);
}

/** [ID-31] The digest of a request, as `devices list` shows it. */
export function digestOf(text: string, what: string): string {
  return typed(digestSchema, text.trim().toLowerCase(), what);
}

export function typed<const S extends v.GenericSchema>(schema: S, text: string, what: string): v.InferOutput<S> {
  return check(schema, text, `${what} ${quoted(text)}`, "usage.invalid");
}
