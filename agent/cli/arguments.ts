// The parser of the command line. Pure.
import { parseArgs } from "node:util";
import { Fault } from "../../hal/fault.ts";
import { argumentErrorText, quoted } from "../../hal/format/text.ts";
import { decodeVerifier, type NoteKeyKind, type Verifier } from "../../warden/audit/format/index.ts";
import { type Challenge, type OrderVerb, parseChallenge } from "../../warden/orders/format/index.ts";
import { AUDIT_TAIL_RECORDS_MAX, carriedVerbSchema, type OrderedOperation } from "../operations/format.ts";
import { DEFAULT_SOCKET, usage } from "./usage.ts";

interface AgentQuery {
  readonly socket: string;
  readonly json: boolean;
}

export type Invocation =
  | { readonly command: "help" }
  | { readonly command: "version" }
  | (AgentQuery & { readonly command: "status" | "identity show" | "update status" | "lockdown show" | "wipe plan" })
  | (AgentQuery & { readonly command: "audit tail"; readonly count: number | undefined })
  | (AgentQuery & { readonly command: "lockdown plan"; readonly file: string })
  | (AgentQuery & { readonly command: "order nonce"; readonly verb: OrderVerb })
  | OrderInvocation
  | PasswordsInvocation
  | VerifyInvocation;

export interface OrderInvocation extends AgentQuery {
  readonly command: "order";
  readonly operation: OrderedOperation;
  /** Undefined: the command requests a challenge and reads its answer. */
  readonly answered: { readonly challenge: Challenge; readonly answer: string } | undefined;
}

export interface PasswordsInvocation {
  readonly command: "tpm passwords";
  readonly json: boolean;
  /** What "sallyport-hub devices escrow" printed. */
  readonly file: string;
  /** The owner's private key, in PEM. */
  readonly key: string;
  /** Where to write the record for the device; undefined to print the passwords. */
  readonly out: string | undefined;
}

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
  challenge: { type: "string" },
  answer: { type: "string" },
  key: { type: "string" },
  witness: { type: "string" },
  checkpoint: { type: "string", multiple: true },
  epoch: { type: "string" },
  out: { type: "string" },
  help: { type: "boolean", short: "h" },
  version: { type: "boolean" },
} as const;

type OptionName = keyof typeof OPTIONS;
/** More checkpoints of one log are of no use. Each file is read whole. */
const CHECKPOINTS_MAX = 16;
const EPOCH_MAX = 999_999;

/** @throws Fault `usage.invalid`, which says what was expected. */
export function parseInvocation(argv: readonly string[]): Invocation {
  const { values, positionals } = parse(argv);
  if (values.help === true) return { command: "help" };
  if (values.version === true) return { command: "version" };
  const { socket = DEFAULT_SOCKET, json = false } = values;
  const [noun, verb, ...rest] = positionals;
  const command = positionals.join(" ");
  const allow = (...names: readonly OptionName[]): void => refuseOthers(Object.keys(values), [...names, "json"]);
  if (
    command === "status" ||
    command === "identity show" ||
    command === "update status" ||
    command === "lockdown show" ||
    command === "wipe plan"
  ) {
    allow("socket");
    return { command, socket, json };
  }
  if (command === "audit tail") {
    allow("socket", "count");
    return { command, socket, json, count: wholeNumber("-n", values.count, 1, AUDIT_TAIL_RECORDS_MAX) };
  }
  const operation = Object.hasOwn(ORDERED_COMMANDS, command) ? ORDERED_COMMANDS[command] : undefined;
  if (operation !== undefined) {
    allow("socket", "challenge", "answer");
    return { command: "order", operation, socket, json, answered: answerIn(operation, values) };
  }
  if (noun === "lockdown" && verb === "plan" && rest.length <= 1) {
    allow("socket");
    const [file] = rest;
    if (file === undefined) throw usage("lockdown plan needs FILE, a policy");
    return { command: "lockdown plan", socket, json, file };
  }
  if (noun === "order" && verb === "nonce" && rest.length <= 1) {
    allow("socket");
    return { command: "order nonce", socket, json, verb: orderVerb(rest[0]) };
  }
  if (noun === "audit" && verb === "verify" && rest.length <= 1) {
    allow("key", "witness", "checkpoint", "epoch");
    return verification(values, rest[0], json);
  }
  if (noun === "tpm" && verb === "passwords" && rest.length <= 1) {
    allow("key", "out");
    const { key, out } = values;
    const [file] = rest;
    if (file === undefined) throw usage('tpm passwords needs FILE, as "sallyport-hub devices escrow" printed it');
    if (key === undefined) throw usage("tpm passwords needs --key, the file with the owner's private key");
    return { command: "tpm passwords", json, file, key, out };
  }
  throw usage(command === "" ? "no command was given" : `there is no command ${quoted(command)}`);
}

const ORDERED_COMMANDS: Readonly<Record<string, OrderedOperation>> = {
  "update approve": "update.approve",
  "update revert": "update.revert",
  "lockdown confirm": "lockdown.confirm",
  "lockdown revert": "lockdown.revert",
  reboot: "system.reboot",
  "key upgrade": "key.upgrade",
  wipe: "system.wipe",
};

function orderVerb(text: string | undefined): OrderVerb {
  const verb = carriedVerbSchema.options.find((known) => known === text);
  if (verb === undefined)
    throw usage(
      `order nonce takes one of ${carriedVerbSchema.options.join(", ")}${text === undefined ? "" : `, got ${quoted(text)}`}`,
    );
  return verb;
}

function answerIn(operation: OrderedOperation, values: ReturnType<typeof parse>["values"]): OrderInvocation["answered"] {
  const { challenge: text, answer } = values;
  if (text === undefined && answer === undefined) return undefined;
  if (text === undefined || answer === undefined) throw usage("--challenge and --answer go together");
  const challenge = readOption("--challenge", () => parseChallenge(text));
  if (challenge.verb !== operation)
    throw usage(`--challenge is for "${challenge.verb}", but this command needs one for "${operation}"`);
  return { challenge, answer };
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: OPTIONS, allowPositionals: true, strict: true });
  } catch (error) {
    throw usage(argumentErrorText(error), error);
  }
}

function verification(
  values: ReturnType<typeof parse>["values"],
  directory: string | undefined,
  json: boolean,
): VerifyInvocation {
  const { key, witness, checkpoint: checkpoints = [] } = values;
  if (directory === undefined) throw usage("audit verify needs DIR, the directory of the log");
  if (key === undefined) throw usage("audit verify needs --key, the device's audit key as the hub knows it");
  if (checkpoints.length > CHECKPOINTS_MAX) throw usage(`--checkpoint may be given at most ${CHECKPOINTS_MAX} times`);
  return {
    command: "audit verify",
    json,
    directory,
    key: verifier("--key", key, "ed25519"),
    witness: witness === undefined ? undefined : verifier("--witness", witness, "cosignature/v1"),
    checkpoints,
    epoch: wholeNumber("--epoch", values.epoch, 0, EPOCH_MAX),
  };
}

/**
 * An option that a command does not have is a mistake and must not be ignored: `audit tail --key`
 * is not a verification.
 */
function refuseOthers(given: readonly string[], allowed: readonly string[]): void {
  const other = given.find((name) => !allowed.includes(name));
  if (other !== undefined) throw usage(`this command has no option --${other}`);
}

function wholeNumber(option: string, text: string | undefined, min: number, max: number): number | undefined {
  if (text === undefined) return undefined;
  const value = /^\d{1,9}$/u.test(text) ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max)) throw usage(`${option} takes a whole number from ${min} to ${max}, got ${quoted(text)}`);
  return value;
}

/**
 * An unreadable key or a key of the wrong kind is a usage error. It says nothing about the log,
 * which exit code 5 would.
 */
function verifier(option: string, text: string, kind: NoteKeyKind): Verifier {
  const key = readOption(option, () => decodeVerifier(text));
  if (key.kind !== kind) throw usage(`${option} takes a key of kind ${kind}, ${quoted(key.name)} is of kind ${key.kind}`);
  return key;
}

/**
 * Reads the value of an option. A fault is a usage error here, even if its code means something
 * else elsewhere.
 */
function readOption<T>(option: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    throw usage(`${option}: ${error.message}`, error);
  }
}
