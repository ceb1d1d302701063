// `sallyport-hub ask`: any operation of a device, through its tunnel. The device decides which
// operations the hub may ask for. [OPS-4] [OPS-6]
import { OPERATIONS } from "../../agent/operations/format.ts";
import { Fault } from "../../hal/fault.ts";
import { type JsonValue, parseJson, REQUEST_VALUES_MAX } from "../../hal/format/json.ts";
import { type HubCommand, JSON_OPTION, STATE_OPTION } from "./command.ts";
import { deviceIdOf, withState } from "./state.ts";
import { askDevice, printAnswer, WAIT_OPTION, waitMsOf } from "./poll.ts";
import { quoted } from "../../hal/format/text.ts";

const ARGS_BYTES_MAX = 49_152;

export const askOperation: HubCommand = {
  name: "ask",
  usage: "ask ID OPERATION [--args JSON] [--wait 30s] [--state DIR] [--json]",
  help: `Asks a device through its tunnel and prints the answer. Operations: ${Object.keys(OPERATIONS).join(", ")}. Exit code 3 means no answer in time.`,
  options: { ...STATE_OPTION, ...JSON_OPTION, ...WAIT_OPTION, args: { type: "string" } },
  args: ["ID", "OPERATION"],
  run: async (given, terminal) =>
    withState(given, async (opened) => {
      const operation = given.arg("OPERATION");
      if (!/^[a-z][a-z0-9.-]{0,63}$/.test(operation))
        throw new Fault("usage.invalid", `OPERATION ${quoted(operation)}: expected a name such as status`);
      const args = operationArgs(given.optionalText("args") ?? "{}");
      const answered = await askDevice(opened, terminal, deviceIdOf(given), operation, args, waitMsOf(given));
      return printAnswer(given, terminal, opened, answered);
    }),
};

/**
 * The arguments of an operation, as an operator types them.
 * @throws Fault `usage.invalid`.
 */
export function operationArgs(text: string): JsonValue {
  try {
    const value = parseJson(text, ARGS_BYTES_MAX, "--args", { valuesMax: REQUEST_VALUES_MAX, duplicates: "refused" });
    if (isObject(value)) return value;
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    throw new Fault("usage.invalid", error.message, { cause: error });
  }
  throw new Fault("usage.invalid", `--args must be a JSON object such as '{"count": 5}', got ${quoted(text)}`);
}

/** The value comes from JSON.parse, so the members of an object are JSON too. */
function isObject(value: unknown): value is { readonly [key: string]: JsonValue } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
