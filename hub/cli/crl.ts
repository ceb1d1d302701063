// `sallyport-hub crl`: the list of revoked certificates, for a broker that is not this hub's.
// [ID-90]
import { readFile, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { asFault } from "../../hal/fault.ts";
import { counted, wrap } from "../../hal/format/prose.ts";
import { printableJson, quoted } from "../../hal/format/text.ts";
import { writeDurably } from "../../hal/linux/files/index.ts";
import { crlPem } from "../authority/index.ts";
import { createCrlKeeper } from "../crl/index.ts";
import { type HubCommand, JSON_OPTION, STATE_OPTION } from "./command.ts";
import { iso } from "./render.ts";
import { withState } from "./state.ts";

/** Whoever runs the broker reads it, and nothing in it is secret. */
const MODE = 0o644;

export const crl: HubCommand = {
  name: "crl",
  usage: "crl [--state DIR] [--out FILE] [--der] [--json]",
  help: "Issues the list of revoked certificates if one is due, and shows its number and dates. --out writes it as PEM, or as DER with --der, at once and whole; a file that is up to date is left as it is. Works whether the hub runs or not.",
  options: { ...STATE_OPTION, ...JSON_OPTION, out: { type: "string" }, der: { type: "boolean" } },
  args: [],
  run: async (given, terminal) =>
    withState(given, async ({ store, authority }) => {
      const list = await createCrlKeeper({ store, issuer: authority.issuer }).current();
      const { number, count, thisUpdateMs, nextUpdateMs } = list;
      const out = given.optionalText("out") === undefined ? undefined : given.text("out");
      const bytes = given.flag("der") ? Buffer.from(list.der) : Buffer.from(crlPem(list.der));
      const written = out === undefined ? undefined : await write(out, bytes);
      const dates = { thisUpdate: iso(thisUpdateMs), nextUpdate: iso(nextUpdateMs) };
      const file = out === undefined ? "" : written === true ? `; written to ${quoted(out)}` : `; ${quoted(out)} has it already`;
      terminal.out(
        given.flag("json")
          ? printableJson({ number, count, ...dates, ...(out === undefined ? {} : { out, written }) })
          : wrap(`list ${number} with ${counted(count, "revoked certificate")}, in force until ${dates.nextUpdate}${file}`, 2),
      );
      return 0;
    }),
};

/**
 * [ID-92] Whoever reads the file meanwhile has the old list or the new one.
 * @returns false when the file has these bytes already, so that nobody reloads a broker for it.
 * @throws Fault `file.write-failed`.
 */
async function write(out: string, bytes: Uint8Array): Promise<boolean> {
  const path = resolve(out);
  const before = await readFile(path).catch(() => undefined);
  if (before?.equals(bytes) === true) return false;
  try {
    await stat(dirname(path)); // a directory that was made for it would be closed to the broker
    await writeDurably(path, bytes, { mode: MODE });
    return true;
  } catch (error) {
    throw asFault(error, "file.write-failed", `write ${quoted(out)}`);
  }
}
