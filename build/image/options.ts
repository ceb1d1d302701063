// The command line of `npm run image`.
import { parseArgs } from "node:util";
import * as v from "valibot";
import { asFault } from "../../hal/fault.ts";
import { check } from "../../hal/format/schema.ts";
import { GIVEN } from "./system.ts";

export const USAGE = `usage: npm run image -- --files DIR --out DIR
  --files DIR        holds ${Object.keys(GIVEN).join(", ")}
  --out DIR          gets disk.img, and root.img and kernel.efi: the parts of the release that slot a holds
  --parts-only       no disk.img: a release for devices that run already
  --log-to ttyS1     where kernel and systemd write; a screen when left out
  --usb 0|2          USB devices that the kernel lets in: none (default), or what is soldered on, where the firmware says so
  --esp-mib N --slot-mib N --data-mib N   sizes; 256, 192 and 128 when left out
  --level N          of the compression, 1 to 22; 15 when left out
  --json             at the end, one line of JSON on standard output, all else on standard error
  --help             this text
Exit codes: 0 done, 1 it could not be made, 2 usage.`;

const wholeNumber = (min: number, max: number, left: number) =>
  v.optional(
    v.pipe(v.string(), v.regex(/^\d{1,6}$/u, "expected a whole number"), v.transform(Number), v.minValue(min), v.maxValue(max)),
    String(left),
  );

const optionsSchema = v.strictObject({
  files: v.optional(v.pipe(v.string(), v.minLength(1, "name the folder of the files that go onto the device")), ""),
  out: v.optional(v.pipe(v.string(), v.minLength(1, "name the folder for the image")), ""),
  "parts-only": v.optional(v.boolean(), false),
  "log-to": v.optional(v.pipe(v.string(), v.regex(/^tty[A-Za-z0-9]{1,12}$/u, "expected a line's name such as ttyS1"))),
  usb: v.optional(v.picklist(["0", "2"]), "0"),
  "esp-mib": wholeNumber(64, 4096, 256),
  "slot-mib": wholeNumber(64, 65_536, 192),
  "data-mib": wholeNumber(32, 262_144, 128),
  level: wholeNumber(1, 22, 15),
  json: v.optional(v.boolean(), false),
});
export type Options = v.InferOutput<typeof optionsSchema>;

/** @throws Fault `usage.invalid`. */
export function readOptions(argv: readonly string[]): Options | "help" {
  const kinds = Object.entries(optionsSchema.entries).map(
    ([name, { wrapped }]) => [name, { type: wrapped.type === "boolean" ? "boolean" : "string" }] as const,
  );
  const options = { ...Object.fromEntries(kinds), help: { type: "boolean", short: "h" } } as const;
  try {
    const { help, ...values } = parseArgs({ args: [...argv], options }).values;
    return help === true ? "help" : check(optionsSchema, values, "command line", "usage.invalid");
  } catch (error) {
    throw asFault(error, "usage.invalid", "read the command line");
  }
}
