// What was typed, as a value. Pure.
import { parseArgs } from "node:util";
import { Fault } from "../../hal/fault.ts";
import { decodeVerifier, type NoteKeyKind, type Verifier } from "../../warden/audit/format/index.ts";
import { AUDIT_TAIL_RECORDS_MAX } from "../operations/format.ts";

export const DEFAULT_SOCKET = "/run/sallyport-agent/root.sock";

export const USAGE = `usage: sallyport [--socket PATH] [--json] status
       sallyport [--socket PATH] [--json] audit tail [-n N]
       sallyport [--json] audit verify DIR --key VKEY [--witness VKEY] [--checkpoint FILE]... [--epoch N]
       sallyport --help | --version

Asks the agent of this machine, or looks at an audit log by itself.

  status          the state of this device
  audit tail      the newest records of the audit trail, 10 unless -n says otherwise
  audit verify    check an audit log offline; DIR is the warden's state directory or a copy of it,
                  VKEY a verifier key as "sallyport-hub audit verify ID --json" prints it

  --socket PATH       the agent's socket; ${DEFAULT_SOCKET} when not given
  --json              one line of JSON instead of text
  --key VKEY          the device's audit key: take it from the hub, not from the device
  --witness VKEY      the hub's witness key: what it cosigned must be in the log
  --checkpoint FILE   one more signed checkpoint that the log must contain; may be given again
  --epoch N           which log, where there are several; the last when not given

Exit codes: 0 ok, 1 fault, 2 usage, 3 agent unreachable, 4 denied, 5 verification failed.
`;

export type Invocation =
  | { readonly command: "help" }
  | { readonly command: "version" }
  | { readonly command: "status"; readonly socket: string; readonly json: boolean }
  | { readonly command: "audit tail"; readonly socket: string; readonly json: boolean; readonly count: number | undefined }
  | VerifyInvocation;

export interface VerifyInvocation {
  readonly command: "audit verify";
  readonly json: boolean;
  readonly directory: string;
  readonly key: Verifier;
  readonly witness: Verifier | undefined;
  readonly checkpoints: readonly string[];
  readonly epoch: number | undefined;
}

const OPTIONS = {
  socket: { type: "string" },
  json: { type: "boolean" },
  count: { type: "string", short: "n" },
  key: { type: "string" },
  witness: { type: "string" },
  checkpoint: { type: "string", multiple: true },
  epoch: { type: "string" },
  help: { type: "boolean", short: "h" },
  version: { type: "boolean" },
} as const;

type OptionName = keyof typeof OPTIONS;
/** Checkpoints of one log beyond any use; each file is read whole. */
const CHECKPOINTS_MAX = 16;
const EPOCH_MAX = 999_999;

/** @throws Fault `usage.invalid`, saying what was expected. */
export function parseInvocation(argv: readonly string[]): Invocation {
  const { values, positionals } = typed(argv);
  if (values.help === true) return { command: "help" };
  if (values.version === true) return { command: "version" };
  const { socket = DEFAULT_SOCKET, json = false } = values;
  const [noun, verb, ...rest] = positionals;
  const allow = (...names: readonly OptionName[]): void => refuseOthers(Object.keys(values), [...names, "json"]);
  if (noun === "status" && verb === undefined) {
    allow("socket");
    return { command: "status", socket, json };
  }
  if (noun === "audit" && verb === "tail" && rest.length === 0) {
    allow("socket", "count");
    return { command: "audit tail", socket, json, count: whole("-n", values.count, 1, AUDIT_TAIL_RECORDS_MAX) };
  }
  if (noun === "audit" && verb === "verify" && rest.length <= 1) {
    allow("key", "witness", "checkpoint", "epoch");
    return verification(values, rest[0], json);
  }
  const command = positionals.join(" ");
  throw usage(command === "" ? "no command was given" : `there is no command "${command}"`);
}

function typed(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: OPTIONS, allowPositionals: true, strict: true });
  } catch (error) {
    throw usage(error instanceof Error ? error.message : String(error), error);
  }
}

function verification(
  values: ReturnType<typeof typed>["values"],
  directory: string | undefined,
  json: boolean,
): VerifyInvocation {
  const { key, witness, checkpoint: checkpoints = [] } = values;
  if (directory === undefined) throw usage("audit verify needs DIR, the directory of the log");
  if (key === undefined) throw usage("audit verify needs --key, the device's audit key as the hub knows it");
  if (checkpoints.length > CHECKPOINTS_MAX) throw usage(`at most ${CHECKPOINTS_MAX} times --checkpoint`);
  return {
    command: "audit verify",
    json,
    directory,
    key: verifier("--key", key, "ed25519"),
    witness: witness === undefined ? undefined : verifier("--witness", witness, "cosignature/v1"),
    checkpoints,
    epoch: whole("--epoch", values.epoch, 0, EPOCH_MAX),
  };
}

/** An option that a command does not know is a mistake, not a thing to ignore: `audit tail --key` is not a verification. */
function refuseOthers(given: readonly string[], allowed: readonly string[]): void {
  const other = given.find((name) => !allowed.includes(name));
  if (other !== undefined) throw usage(`--${other} does not go with this command`);
}

function whole(option: string, text: string | undefined, min: number, max: number): number | undefined {
  if (text === undefined) return undefined;
  const value = /^\d{1,9}$/u.test(text) ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max)) throw usage(`${option} takes a whole number from ${min} to ${max}, got "${text}"`);
  return value;
}

/** A key that can't be read, or one key typed for the other, says nothing about the log: that would be exit code 5. */
function verifier(option: string, text: string, kind: NoteKeyKind): Verifier {
  const key = typedVerifier(option, text);
  if (key.kind !== kind) throw usage(`${option} takes a key of kind ${kind}, "${key.name}" is of kind ${key.kind}`);
  return key;
}

function typedVerifier(option: string, text: string): Verifier {
  try {
    return decodeVerifier(text);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    throw usage(`${option}: ${error.message}`, error);
  }
}

function usage(message: string, cause?: unknown): Fault {
  return new Fault("usage.invalid", `${message}; see sallyport --help`, { cause });
}
