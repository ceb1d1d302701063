// The command line of `npm run image`.
import { parseArgs } from "node:util";
import * as v from "valibot";
import { Fault } from "../../hal/fault.ts";
import { argumentErrorText } from "../../hal/format/text.ts";
import { check } from "../../hal/format/schema.ts";
import { WATCHDOG_S } from "./kernel.ts";
import { GIVEN } from "./system.ts";

const GIVEN_NAMES = Object.keys(GIVEN);

export const USAGE = `usage: npm run image -- --files DIR --out DIR
  --files DIR        directory with ${GIVEN_NAMES.slice(0, 3).join(", ")},
                     ${GIVEN_NAMES.slice(3).join(", ")};
                     and escrow.json, where the TPM's passwords are to be escrowed
  --out DIR          directory for disk.img, and for root.img and kernel.efi: the parts of the
                     release in slot a
  --parts-only       makes no disk.img: a release for devices that are already in use
  --log-to ttyS1     line for the messages of kernel and systemd (default: the screen)
  --usb 0|2          USB devices that the kernel authorises: 0 for none (default), 2 for built-in
                     ones that the firmware describes
  --esp-mib N --slot-mib N --data-mib N
                     sizes in MiB (default: 256, 192 and 128)
  --level N          compression level, 1 to 22 (default: 15)
  --watchdog-s N     seconds until the watchdog resets a system that has stopped, 30 to 600
                     (default: ${WATCHDOG_S})
  --json             prints one line of JSON at the end on standard output, and everything else on
                     standard error
  --help             prints this text
Exit codes: 0 done, 1 failed, 2 wrong usage.`;

const wholeNumber = (min: number, max: number, standard: number) =>
  v.optional(
    v.pipe(v.string(), v.regex(/^\d{1,6}$/u, "expected a whole number"), v.transform(Number), v.minValue(min), v.maxValue(max)),
    String(standard),
  );

const optionsSchema = v.strictObject({
  files: v.optional(v.pipe(v.string(), v.minLength(1, "name the directory of the files for the device")), ""),
  out: v.optional(v.pipe(v.string(), v.minLength(1, "name the directory for the image")), ""),
  "parts-only": v.optional(v.boolean(), false),
  "log-to": v.optional(v.pipe(v.string(), v.regex(/^tty[A-Za-z0-9]{1,12}$/u, "expected the name of a line, such as ttyS1"))),
  usb: v.optional(v.picklist(["0", "2"]), "0"),
  "esp-mib": wholeNumber(64, 4096, 256),
  "slot-mib": wholeNumber(64, 65_536, 192),
  "data-mib": wholeNumber(32, 262_144, 128),
  level: wholeNumber(1, 22, 15),
  "watchdog-s": wholeNumber(30, 600, WATCHDOG_S),
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
    if (error instanceof Fault) throw error;
    throw new Fault("usage.invalid", `read the command line: ${argumentErrorText(error)}`, { cause: error });
  }
}
