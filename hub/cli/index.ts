// The command line of the hub. Exit codes: 0 done, 1 not done (or a trail that is not as witnessed), 2 typed wrong, 3 no answer in time.
import { Fault } from "../../hal/fault.ts";
import { terminalText } from "../../hal/format/text.ts";
import { auditShow, auditVerify } from "./audit.ts";
import { askOperation } from "./ask.ts";
import { type HubCommand, parse, type HubTerminal } from "./command.ts";
import { devicesApprove, devicesDeny, devicesForget, devicesList, devicesRevoke } from "./devices.ts";
import { alerts, anchors, init, serve } from "./hub.ts";
import { answer, keygen } from "./keys.ts";
import { lockdownConfirm, lockdownRevert, order } from "./orders.ts";
import { releasePublish, updateStart, updateStatus } from "./releases.ts";
import { STATE_DEFAULT, STATE_VARIABLE } from "./state.ts";

export type { HubTerminal } from "./command.ts";

const COMMANDS: readonly HubCommand[] = [
  init,
  serve,
  devicesList,
  devicesApprove,
  devicesDeny,
  devicesRevoke,
  devicesForget,
  auditShow,
  auditVerify,
  releasePublish,
  updateStart,
  updateStatus,
  lockdownConfirm,
  lockdownRevert,
  order,
  askOperation,
  answer,
  keygen,
  anchors,
  alerts,
];

const VERSION = "sallyport-hub/0.1.0";

/** All output is printable: a device, a file or an argument steers no terminal. */
export async function run(argv: readonly string[], given: HubTerminal): Promise<number> {
  const terminal: HubTerminal = {
    out: (text) => given.out(terminalText(text)),
    err: (text) => given.err(terminalText(text)),
    stop: given.stop,
  };
  const command = COMMANDS.find(({ name }) => name === argv.slice(0, name.split(" ").length).join(" "));
  const help = argv.includes("--help") || argv.includes("-h");
  if (command === undefined) {
    const text = help || argv[0] === "help" ? overview() : argv[0] === "--version" ? VERSION : undefined;
    if (text !== undefined) {
      terminal.out(text);
      return 0;
    }
    terminal.err(`sallyport-hub: usage.invalid: ${unknown(argv)}`);
    return 2;
  }
  if (help) {
    terminal.out(`sallyport-hub ${command.usage}\n\n${command.help}`);
    return 0;
  }
  try {
    return await command.run(parse(command, argv.slice(command.name.split(" ").length)), terminal);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    terminal.err(`sallyport-hub: ${error.code}: ${error.message}`);
    if (error.code !== "usage.invalid") return error.code === "hub.no-answer" ? 3 : 1;
    terminal.err(`usage: sallyport-hub ${command.usage}`);
    return 2;
  }
}

/** The words that come nearest, not two screens of help that push the message off the top. */
function unknown([word, next]: readonly string[]): string {
  const all = "sallyport-hub --help has all of them";
  if (word === undefined) return `no command given; ${all}`;
  if (word.startsWith("-")) return `"${word}" comes before the command; options come after it; ${all}`;
  const near = COMMANDS.filter(({ name }) => name.split(" ")[0] === word).map(({ name }) => name);
  if (near.length > 0) return `no command "${[word, next].filter(Boolean).join(" ")}"; there are ${near.join(", ")}; ${all}`;
  return `no command "${word}"; ${all}`;
}

function overview(): string {
  const lines = COMMANDS.map(({ usage, help }) => `  ${usage}\n      ${help}`);
  const state = `--state is $${STATE_VARIABLE} unless given, else ${STATE_DEFAULT}`;
  return `sallyport-hub: the reference hub of Sallyport\n\n${lines.join("\n")}\n\n${state}\n\nExit codes: 0 done, 1 not done, 2 usage, 3 no answer in time.`;
}
