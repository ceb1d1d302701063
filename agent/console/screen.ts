// What the console says. Pure, ASCII. [CON-1]
import type { FaultReport } from "../../hal/format/fault.ts";
import type { DeviceId } from "../../hal/format/identity.ts";
import type { ConsoleLogin } from "../operations/index.ts";
import { plainText, SCREEN_COLUMNS_MAX, wrapped } from "../status/index.ts";
import { COMMANDS, mayUse } from "./commands.ts";
import { LINE_BYTES_MAX } from "./limits.ts";

export interface Host {
  /** Name and version, such as `sallyport-agent/0.1.0`. */
  readonly program: string;
  /** Undefined until the warden has said it. */
  readonly deviceId: DeviceId | undefined;
}

/** Shown while nobody has typed yet. */
export function hintText(host: Host): string {
  return `\n${nameOf(host)}: serial console, press Enter\n`;
}

/** Shown before anything can be asked: the notice of IEC 62443-4-2 CR 1.12. */
export function bannerText(host: Host): string {
  return [
    "",
    `${plainText(host.program, 40)} on ${nameOf(host)}`,
    "Authorised use only. What is done here is recorded.",
    'Type "help" for the commands.',
    "",
    "",
  ].join("\n");
}

export function promptText(host: Host, login?: ConsoleLogin): string {
  return `${login === undefined ? "" : `${plainText(login.id, 40)} on `}${nameOf(host)}> `;
}

export function helpText(login: ConsoleLogin | undefined): string {
  return [
    ...COMMANDS.filter((command) => mayUse(command, login?.roles)).map(
      ({ words, takes, help }) => `  ${(takes === undefined ? words : `${words} [N]`).padEnd(18)}${help}`,
    ),
    "  ^C drops a line, ^U clears it, ^L shows it again",
    ...(login === undefined ? ["There are more once you have logged in."] : [loggedInAs(login)]),
    "",
  ].join("\n");
}

export function welcomeText(login: ConsoleLogin): string {
  return `${loggedInAs(login)}\nThis ends with "logout", a hang-up, or 5 minutes without a key.\n`;
}

export function alreadyText(login: ConsoleLogin): string {
  return `${loggedInAs(login)} Type "logout" first.\n`;
}

function loggedInAs({ id, roles }: ConsoleLogin): string {
  return `Logged in as ${plainText(id, 64)}, ${roles.join(", ") || "without a role"}.`;
}

export function unknownText(line: string): string {
  return `There is no command "${plainText(line.trim(), 40)}". Type "help" for the commands.\n`;
}

export function tooLongText(): string {
  return `A line has at most ${LINE_BYTES_MAX} characters; this one was longer and was not read.\n`;
}

export function tooManyText(waitMs: number): string {
  return `Too many commands at once. Try again in ${seconds(waitMs)}.\n`;
}

export function idleText(idleMs: number, login: ConsoleLogin | undefined): string {
  const what = login === undefined ? "session closed" : `${plainText(login.id, 64)} is logged out`;
  return `\nNobody typed for ${idleMs / 60_000} minutes: ${what}. Press Enter for a new session.\n`;
}

export function logoutText(login: ConsoleLogin | undefined): string {
  return login === undefined
    ? "Nobody is logged in: session closed. Press Enter for a new one.\n"
    : `${plainText(login.id, 64)} is logged out. Press Enter for a new session.\n`;
}

export function faultText({ code, message }: FaultReport): string {
  return `${wrapped(`${code}: ${plainText(message, 512)}`, SCREEN_COLUMNS_MAX, 0).join("\n")}\n`;
}

/** Under a refusal that a login would turn. */
export function logInFirstText(): string {
  return 'Type "login" first.\n';
}

export function seconds(ms: number): string {
  return `${Math.ceil(ms / 1000)} s`;
}

function nameOf({ deviceId }: Host): string {
  return deviceId === undefined ? "sallyport" : plainText(deviceId, 64);
}
