// What was typed, or written into a unit.
import { parseArgs } from "node:util";
import { asFault } from "../../fault.ts";

export type OptionTable = "help" | "version" | { readonly file: string; readonly checkOnly: boolean };

/** @param configFile where the configuration is when nobody says otherwise. @throws Fault `usage.invalid`. */
export function parseOptions(argv: readonly string[], configFile: string): OptionTable {
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: {
        config: { type: "string", default: configFile },
        "check-config": { type: "boolean", default: false },
        help: { type: "boolean", default: false },
        version: { type: "boolean", default: false },
      },
    });
    if (values.help) return "help";
    return values.version ? "version" : { file: values.config, checkOnly: values["check-config"] };
  } catch (error) {
    throw asFault(error, "usage.invalid", "read the command line");
  }
}

export function usageText(name: string, purpose: string, configFile: string): string {
  return `usage: ${name} --config FILE [--check-config]
       ${name} --help | --version

${purpose}

  --config FILE     configuration, JSON; ${configFile} when not given
  --check-config    say whether the configuration and the hub's anchors are right, and end
  --help            this text
  --version         name and version

Exit codes: 0 done, 1 fault while running, 2 usage, 78 configuration.
`;
}
