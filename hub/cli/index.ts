// The command line of the hub. Exit codes: 0 done, 1 not done (or a trail that is not as witnessed), 2 typed wrong, 3 no answer in time.
import { Fault } from "../../hal/fault.ts";
import { auditShow, auditVerify } from "./audit.ts";
import { askOperation } from "./ask.ts";
import { type Command, parse, type Terminal } from "./command.ts";
import { devicesApprove, devicesDeny, devicesForget, devicesList, devicesRevoke } from "./devices.ts";
import { alerts, anchors, init, serve } from "./hub.ts";
import { answer, keygen } from "./keys.ts";
import { lockdownConfirm, lockdownRevert, order } from "./orders.ts";
import { releasePublish, updateStart, updateStatus } from "./releases.ts";
import { STATE_DEFAULT, STATE_VARIABLE } from "./state.ts";

export type { Terminal } from "./command.ts";

const COMMANDS: readonly Command[] = [
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

export async function run(argv: readonly string[], terminal: Terminal): Promise<number> {
  const command = COMMANDS.find(({ name }) => name === argv.slice(0, name.split(" ").length).join(" "));
  const help = argv.includes("--help") || argv.includes("-h");
  if (command === undefined) {
    if (help || argv[0] === "help") {
      terminal.out(overview());
      return 0;
    }
    const known = argv.length === 0 ? "no command given" : `no command "${argv.slice(0, 2).join(" ")}"`;
    terminal.err(`sallyport-hub: usage.invalid: ${known}\n\n${overview()}`);
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

function overview(): string {
  const lines = COMMANDS.map(({ usage, help }) => `  ${usage}\n      ${help}`);
  const state = `--state is $${STATE_VARIABLE} unless given, else ${STATE_DEFAULT}`;
  return `sallyport-hub: the reference hub of Sallyport\n\n${lines.join("\n")}\n\n${state}`;
}
