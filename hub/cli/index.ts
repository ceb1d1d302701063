// The command line of the hub. Exit codes: 0 done, 1 failed (or an audit trail that is not as
// witnessed), 2 wrong usage, 3 no answer in time.
import { Fault, firstError } from "../../hal/fault.ts";
import { wrap } from "../../hal/format/prose.ts";
import { quoted, terminalText } from "../../hal/format/text.ts";
import { auditShow, auditVerify } from "./audit.ts";
import { askOperation } from "./ask.ts";
import { type HubCommand, parse, type HubTerminal } from "./command.ts";
import {
  devicesApprove,
  devicesBoard,
  devicesDeny,
  devicesEscrow,
  devicesForget,
  devicesList,
  devicesRekey,
  devicesReplace,
  devicesRevoke,
} from "./devices.ts";
import { alerts, anchors, init, serve } from "./hub.ts";
import { crl } from "./crl.ts";
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
  devicesReplace,
  devicesRekey,
  devicesBoard,
  devicesDeny,
  devicesRevoke,
  devicesForget,
  devicesEscrow,
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
  crl,
  anchors,
  alerts,
];

const VERSION = "sallyport-hub/0.1.0";

/** All output is printable: a device, a file or an argument steers no terminal. */
export async function run(argv: readonly string[], given: HubTerminal): Promise<number> {
  const terminal: HubTerminal = {
    out: (text) => given.out(terminalText(text)),
    err: (text) => given.err(terminalText(text)),
    shown: () => given.shown(),
    ask: given.ask,
    stop: given.stop,
  };
  const command = COMMANDS.find(({ name }) => name.split(" ").every((word, at) => argv[at] === word));
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
    terminal.out(`${wrap(`sallyport-hub ${command.usage}`, 4)}\n\n${wrap(command.help)}`);
    return 0;
  }
  try {
    return await command.run(parse(command, argv.slice(command.name.split(" ").length)), terminal);
  } catch (thrown) {
    const error = firstError(thrown);
    if (!(error instanceof Fault)) throw thrown;
    terminal.err(`sallyport-hub: ${error.code}: ${error.message}`);
    if (error.code !== "usage.invalid") return error.code === "hub.no-answer" ? 3 : 1;
    terminal.err(`usage: sallyport-hub ${command.usage}`);
    return 2;
  }
}

/** Names the nearest commands: two screens of help would push the message off the top. */
function unknown([word, next]: readonly string[]): string {
  const all = "sallyport-hub --help lists all commands";
  if (word === undefined) return `no command was given; ${all}`;
  if (word.startsWith("-")) return `the option ${quoted(word)} comes before the command, but must follow it; ${all}`;
  const near = COMMANDS.filter(({ name }) => name.split(" ")[0] === word).map(({ name }) => name);
  if (near.length > 0) {
    const typed = [word, next].filter(Boolean).join(" ");
    const found = `the nearest ${near.length === 1 ? "command is" : "commands are"} ${near.join(", ")}`;
    return `there is no command ${quoted(typed)}; ${found}; ${all}`;
  }
  return `there is no command ${quoted(word)}; ${all}`;
}

function overview(): string {
  const commands = COMMANDS.map(({ usage, help }) => `${wrap(`  ${usage}`, 2)}\n${wrap(`      ${help}`)}`);
  return [
    "sallyport-hub: the reference hub of Sallyport",
    commands.join("\n"),
    `Without --state, the state directory is $${STATE_VARIABLE}, or otherwise ${STATE_DEFAULT}.`,
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no answer in time.",
  ].join("\n\n");
}
