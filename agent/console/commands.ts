// The table of console commands. There is no shell: the only way from the console to the device is
// an operation. [CON-3] [CON-4] [OPS-5]
import type { OperatorRole } from "../../warden/roster/format.ts";
import { type OperationName, OPERATIONS, type OrderedOperation } from "../operations/format.ts";

export type ConsoleAction =
  | { readonly kind: "help" }
  | { readonly kind: "login" }
  | { readonly kind: "logout" }
  | { readonly kind: "ask"; readonly operation: Exclude<OperationName, OrderedOperation>; readonly show: "text" | "json" }
  | { readonly kind: "order"; readonly operation: OrderedOperation };
export type OperationAction = Extract<ConsoleAction, { operation: OperationName }>;

export interface ConsoleCommand {
  /** As typed, with one space between words. */
  readonly words: string;
  /** The argument that may follow: a whole number. */
  readonly takes?: "count";
  readonly help: string;
  readonly does: ConsoleAction;
}

export const COMMANDS: readonly ConsoleCommand[] = [
  { words: "help", help: "this list", does: { kind: "help" } },
  { words: "login", help: "log in with your key: the device asks, your laptop answers", does: { kind: "login" } },
  { words: "status", help: "the state of this device", does: { kind: "ask", operation: "status", show: "text" } },
  { words: "status --json", help: "the same as one line of JSON", does: { kind: "ask", operation: "status", show: "json" } },
  {
    words: "identity",
    help: "the key, the TPM and the certificate",
    does: { kind: "ask", operation: "identity.show", show: "text" },
  },
  {
    words: "audit tail",
    takes: "count",
    help: "the newest records of the audit trail, 10 or N",
    does: { kind: "ask", operation: "audit.tail", show: "text" },
  },
  { words: "update", help: "the state of the update", does: { kind: "ask", operation: "update.status", show: "text" } },
  {
    words: "update approve",
    help: "let the release be tried: needs an order",
    does: { kind: "order", operation: "update.approve" },
  },
  {
    words: "update revert",
    help: "stop the update, or go back: needs an order",
    does: { kind: "order", operation: "update.revert" },
  },
  {
    words: "lockdown",
    help: "what is open and what is plugged in",
    does: { kind: "ask", operation: "lockdown.show", show: "text" },
  },
  {
    words: "lockdown confirm",
    help: "confirm the policy on trial: needs an order",
    does: { kind: "order", operation: "lockdown.confirm" },
  },
  {
    words: "lockdown revert",
    help: "revert the policy on trial: needs an order",
    does: { kind: "order", operation: "lockdown.revert" },
  },
  { words: "reboot", help: "restart this device: needs an order", does: { kind: "order", operation: "system.reboot" } },
  {
    words: "key upgrade",
    help: "a stronger key, in the TPM: needs an order",
    does: { kind: "order", operation: "key.upgrade" },
  },
  {
    words: "wipe plan",
    help: "what a factory reset would destroy",
    does: { kind: "ask", operation: "reset.plan", show: "text" },
  },
  { words: "wipe", help: "factory reset of this device: needs an order", does: { kind: "order", operation: "system.wipe" } },
  { words: "logout", help: "end this session", does: { kind: "logout" } },
];

export interface Typed {
  readonly command: ConsoleCommand;
  readonly args: Readonly<Record<string, unknown>>;
}

/**
 * @returns the command of a line, "nothing" for an empty line, "unknown" for anything else. Extra
 *   spaces do not matter.
 */
export function commandOf(line: string): Typed | "nothing" | "unknown" {
  const words = line.trim().replaceAll(/ +/gu, " ");
  if (words === "") return "nothing";
  const exact = COMMANDS.find((command) => command.words === words);
  if (exact !== undefined) return { command: exact, args: {} };
  const [, head, count] = /^(.+) (\d{1,6})$/u.exec(words) ?? [];
  const counted = COMMANDS.find((command) => command.takes === "count" && command.words === head);
  return counted === undefined ? "unknown" : { command: counted, args: { count: Number(count) } };
}

/**
 * Whether the table of operations lets one of `roles` use the command; `roles` is undefined before
 * login. This decides only what is offered: the operations judge every request themselves. [OPS-4]
 */
export function mayUse({ does }: ConsoleCommand, roles: readonly OperatorRole[] | undefined): boolean {
  if (does.kind === "help") return true;
  if (does.kind === "login") return roles === undefined;
  if (does.kind === "logout") return roles !== undefined;
  const allowed: readonly OperatorRole[] = OPERATIONS[does.operation].roles;
  return (roles ?? ["guest"]).some((role) => allowed.includes(role));
}
