// The options of `npm run gateway`, and its help.
import { parseArgs } from "node:util";
import * as v from "valibot";
import { asFault } from "../../hal/fault.ts";
import { check } from "../../hal/format/schema.ts";
import { ID } from "../lab/gateway/gateway.ts";

export const USAGE = `usage: npm run gateway [-- --approve | --no-tpm | --serial ID | --log FILE | --help]

Boots a whole gateway in an emulator, beside a hub that has releases for it, and gives you its
serial console. Everything is new at each start and removed at the end. It uses no KVM; a boot takes
one to two minutes. It needs root, and installs some hundred MB of Debian packages the first time.

  --approve      approve the gateway's request without asking
  --no-tpm       boot a gateway whose TPM is missing
  --serial ID    the board's serial number, which becomes the gateway's id; ${ID} when left out
  --log FILE     write the log of the kernel and of systemd to FILE (Ctrl-] l shows it too)
  --help         print this text

On the console Ctrl-] is this program's key: Ctrl-] ? lists what it can do, for instance cut the
power; Ctrl-] q ends the program. Exit code 0 when you ended it, 1 when it could not go on, 2 when
the command line is wrong, 130 when it was interrupted.
`;

const optionsSchema = v.strictObject({
  approve: v.optional(v.boolean(), false),
  "no-tpm": v.optional(v.boolean(), false),
  serial: v.optional(
    v.pipe(v.string(), v.regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/u, "expected 1 to 64 letters, digits, dots, dashes")),
    ID,
  ),
  log: v.optional(v.pipe(v.string(), v.minLength(1, "expected the name of a file"))),
  help: v.optional(v.boolean(), false),
});

export type Options = v.InferOutput<typeof optionsSchema>;

/** @throws Fault `usage.invalid` for an unknown option, `schema.invalid` for a wrong value. */
export function readOptions(argv: readonly string[]): Options {
  const flag = { type: "boolean" } as const;
  const text = { type: "string" } as const;
  const options = { approve: flag, "no-tpm": flag, serial: text, log: text, help: flag } as const;
  try {
    return check(optionsSchema, { ...parseArgs({ args: [...argv], options }).values }, "command line");
  } catch (error) {
    throw asFault(error, "usage.invalid", "read the command line");
  }
}
