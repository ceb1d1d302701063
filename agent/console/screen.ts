// The console's texts. Pure, ASCII. [CON-11]
import type { FaultReport } from "../../hal/format/fault.ts";
import type { DeviceId } from "../../hal/format/identity.ts";
import type { ConsoleLogin } from "../operations/index.ts";
import { counted, SCREEN_COLUMNS_MAX, serialText, wrapText } from "../status/index.ts";
import { COMMANDS, mayUse } from "./commands.ts";
import { LINE_BYTES_MAX, LOGGED_IN_IDLE_MS_MAX } from "./limits.ts";

export interface Host {
  /** Name and version, such as `sallyport-agent/0.1.0`. */
  readonly program: string;
  /** Undefined until the warden has reported it. */
  readonly deviceId: DeviceId | undefined;
}

/** Shown before the first key. */
export function hintText(host: Host): string {
  return `\n${fit(`${nameOf(host)}: serial console, press Enter`)}`;
}

/** [ID-73] Printed when it comes up, and on every banner. */
export function alarmText(host: Host, alarm: string): string {
  return `\n${fit(alarmLine(host, alarm))}`;
}

function alarmLine(host: Host, alarm: string): string {
  return `${nameOf(host)}: ATTENTION: ${serialText(alarm, 64)}; "status" says more`;
}

/** Shown before the first prompt: the use notification of IEC 62443-4-2 CR 1.12. */
export function bannerText(host: Host, alarm?: string): string {
  return [
    "\n",
    fit(`${serialText(host.program, 40)} on ${nameOf(host)}`),
    "Authorised use only. What is done here is recorded.\n",
    ...(alarm === undefined ? [] : [fit(alarmLine(host, alarm))]),
    'Type "help" for the commands.\n\n',
  ].join("");
}

export function promptText(host: Host, login?: ConsoleLogin): string {
  return `${login === undefined ? "" : `${serialText(login.id, 40)} on `}${nameOf(host)}> `;
}

export function helpText(login: ConsoleLogin | undefined): string {
  return [
    ...COMMANDS.filter((command) => mayUse(command, login?.roles)).map(
      ({ words, takes, help }) => `  ${(takes === undefined ? words : `${words} [N]`).padEnd(18)}${help}`,
    ),
    "  ^C drops a line, ^U clears it, ^L prints it again",
    login === undefined ? "There are more once you have logged in.\n" : fit(loggedInAs(login)),
  ].join("\n");
}

export function welcomeText(login: ConsoleLogin): string {
  const end = `This ends with "logout", a hang-up, or ${minutes(LOGGED_IN_IDLE_MS_MAX)} without a key.`;
  return fit(loggedInAs(login)) + fit(end);
}

export function alreadyText(login: ConsoleLogin): string {
  return fit(`${loggedInAs(login)} Type "logout" first.`);
}

function loggedInAs({ id, roles }: ConsoleLogin): string {
  return `Logged in as ${serialText(id, 64)}, ${roles.join(", ") || "without a role"}.`;
}

export function unknownText(line: string): string {
  return fit(`There is no command "${serialText(line.trim(), 40)}". Type "help" for the commands.`);
}

export function tooLongText(): string {
  return `A line has at most ${LINE_BYTES_MAX} characters; this one was longer and was not read.\n`;
}

export function tooManyText(waitMs: number): string {
  return `Too many commands at once. Try again in ${seconds(waitMs)}.\n`;
}

export function idleText(idleMs: number, login: ConsoleLogin | undefined): string {
  const what = login === undefined ? "session closed" : `${serialText(login.id, 64)} is logged out`;
  return `\n${fit(`Nobody typed for ${minutes(idleMs)}: ${what}. Press Enter for a new session.`)}`;
}

export function rosterText(login: ConsoleLogin): string {
  const id = serialText(login.id, 64);
  return `\n${fit(`The roster of this device has changed: ${id} is logged out. Press Enter for a new session.`)}`;
}

export function logoutText(login: ConsoleLogin | undefined): string {
  return login === undefined
    ? "Nobody is logged in: session closed. Press Enter for a new one.\n"
    : fit(`${serialText(login.id, 64)} is logged out. Press Enter for a new session.`);
}

export function faultText({ code, message }: FaultReport): string {
  return fit(`${code}: ${serialText(message, 512)}`);
}

/** Shown after a refusal that a login may change. */
export function logInFirstText(): string {
  return 'Type "login" first.\n';
}

export function seconds(ms: number): string {
  return `${Math.ceil(ms / 1000)} s`;
}

/** The text as lines that fit the screen, each with a newline. */
function fit(text: string): string {
  return `${wrapText(text, SCREEN_COLUMNS_MAX, 0).join("\n")}\n`;
}

function minutes(ms: number): string {
  return counted(ms / 60_000, "minute");
}

function nameOf({ deviceId }: Host): string {
  return deviceId === undefined ? "sallyport" : serialText(deviceId, 64);
}
