// What the console says. Pure, ASCII. [CON-1]
import type { FaultReport } from "../../warden/protocol/format.ts";
import { plainText } from "../status/index.ts";
import { COMMANDS } from "./commands.ts";
import { IDLE_MS_MAX, LINE_BYTES_MAX } from "./limits.ts";

export interface Host {
  /** Name and version, such as `sallyport-agent/0.1.0`. */
  readonly program: string;
  /** Undefined until the warden has said it. */
  readonly deviceId: string | undefined;
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

export function promptText(host: Host): string {
  return `${nameOf(host)}> `;
}

export function helpText(): string {
  return [
    ...COMMANDS.map(({ words, help }) => `  ${words.padEnd(16)}${help}`),
    "  ^C drops a line, ^U clears it, ^L shows it again",
    "",
  ].join("\n");
}

export function unknownText(line: string): string {
  return `There is no command "${plainText(line.trim(), 40)}". Type "help" for the commands.\n`;
}

export function tooLongText(): string {
  return `A line has at most ${LINE_BYTES_MAX} characters; this one was longer and was not read.\n`;
}

export function tooManyText(waitMs: number): string {
  return `Too many commands at once. Try again in ${Math.ceil(waitMs / 1000)} s.\n`;
}

export function idleText(): string {
  return `\nNobody typed for ${IDLE_MS_MAX / 60_000} minutes: session closed. Press Enter for a new one.\n`;
}

export function faultText({ code, message }: FaultReport): string {
  return `${code}: ${plainText(message, 512)}\n`;
}

function nameOf({ deviceId }: Host): string {
  return deviceId === undefined ? "sallyport" : plainText(deviceId, 64);
}
