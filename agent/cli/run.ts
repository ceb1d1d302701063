// The run of one command: parse, ask the agent or verify, print, and return an exit code.
import { asFault, Fault } from "../../hal/fault.ts";
import { terminalText } from "../../hal/format/text.ts";
import { check } from "../../hal/format/schema.ts";
import { POLICY_BYTES_MAX } from "../../warden/lockdown/format/index.ts";
import { challengeText, orderOfAnswer } from "../../warden/orders/format/index.ts";
import {
  type OperationAnswer,
  OPERATIONS,
  type OperationName,
  type OperationRequest,
  type OperationResult,
  type OrderedOperation,
} from "../operations/format.ts";
import {
  isIdentitySound,
  renderIdentity,
  serialJson,
  serialText,
  renderChallenge,
  renderLockdown,
  renderPreview,
  renderResetPlan,
  renderStatus,
  renderTail,
  renderUpdate,
  renderUpgrade,
  WIPING,
} from "../status/index.ts";
import { type Invocation, type OrderInvocation, parseInvocation } from "./arguments.ts";
import { EXIT, type ExitCode, exitCodeOf } from "./exit.ts";
import { type PasswordsPorts, readPasswords } from "./passwords.ts";
import { USAGE } from "./usage.ts";
import { type Evidence, verify } from "./verify.ts";

export interface CommandPorts extends Omit<PasswordsPorts, "file"> {
  /**
   * Asks the agent at a socket.
   * @throws Fault `socket.unreachable`, `socket.denied`, `protocol.*`.
   */
  readonly ask: (socket: string, request: OperationRequest) => Promise<OperationAnswer>;
  /** @throws Fault `file.*` for a directory or a file that cannot be read. */
  readonly evidence: (directory: string, checkpointFiles: readonly string[]) => Evidence;
  /**
   * Reads a file of the operator's.
   * @throws Fault `file.*` if it does not exist, is not a regular file, or has more bytes.
   */
  readonly file: (path: string, bytesMax: number) => Uint8Array;
  /** Reads one line from standard input. @returns undefined when the input ends before. */
  readonly line: () => Promise<string | undefined>;
  readonly version: string;
  /** Makes a new correlation id. */
  readonly id: () => string;
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
}

type Query = Exclude<Invocation, { command: "help" | "version" | "order" | "tpm passwords" | "audit verify" }>;

/** Never throws: a fault is printed with what to do about it, and decides the exit code. */
export async function runCommand(argv: readonly string[], given: CommandPorts): Promise<ExitCode> {
  // All output is printable: neither the agent nor an argument steers the terminal.
  const ports: CommandPorts = {
    ...given,
    out: (text) => given.out(terminalText(text)),
    err: (text) => given.err(terminalText(text)),
  };
  try {
    return await execute(parseInvocation(argv), ports);
  } catch (error) {
    const { code, message } = asFault(error, "assert.broken", "run the command");
    ports.err(`sallyport: ${code}: ${serialText(message)}\n`);
    return exitCodeOf(code);
  }
}

async function execute(invocation: Invocation, ports: CommandPorts): Promise<ExitCode> {
  switch (invocation.command) {
    case "help":
      ports.out(USAGE);
      return EXIT.ok;
    case "version":
      ports.out(`sallyport/${ports.version}\n`);
      return EXIT.ok;
    case "order":
      return order(invocation, ports);
    case "audit verify": {
      const verdict = verify(invocation, ports.evidence(invocation.directory, invocation.checkpoints));
      ports.out(invocation.json ? verdict.json : verdict.text);
      return verdict.verified ? EXIT.ok : EXIT.unverified;
    }
    case "tpm passwords":
      ports.out(readPasswords(invocation, ports));
      return EXIT.ok;
    default:
      return query(invocation, ports);
  }
}

/** Asks the agent one thing and prints the answer. */
async function query(invocation: Query, ports: CommandPorts): Promise<ExitCode> {
  const { socket, json } = invocation;
  const show = (result: object, text: string): ExitCode => {
    ports.out(json ? `${serialJson(result)}\n` : text);
    return EXIT.ok;
  };
  switch (invocation.command) {
    case "status": {
      const result = await ask(ports, socket, "status", {});
      return show(result, renderStatus(result));
    }
    case "identity show": {
      const result = await ask(ports, socket, "identity.show", {});
      show(result, renderIdentity(result));
      return isIdentitySound(result) ? EXIT.ok : EXIT.fault;
    }
    case "audit tail": {
      const { count } = invocation;
      const result = await ask(ports, socket, "audit.tail", count === undefined ? {} : { count });
      return show(result, renderTail(result));
    }
    case "update status": {
      const result = await ask(ports, socket, "update.status", {});
      return show(result, renderUpdate(result));
    }
    case "lockdown show": {
      const result = await ask(ports, socket, "lockdown.show", {});
      return show(result, renderLockdown(result));
    }
    case "wipe plan": {
      const result = await ask(ports, socket, "reset.plan", {});
      return show(result, renderResetPlan(result));
    }
    case "lockdown plan": {
      const policy = Buffer.from(ports.file(invocation.file, POLICY_BYTES_MAX)).toString("base64");
      const result = await ask(ports, socket, "lockdown.plan", { policy });
      show(result, renderPreview(result));
      return result.risks.length === 0 ? EXIT.ok : EXIT.fault;
    }
    case "order nonce": {
      const result = await ask(ports, socket, "order.nonce", { verb: invocation.verb });
      const challenge = challengeText({ verb: invocation.verb, ...result });
      return show({ ...result, challenge }, `${challenge}\n`);
    }
  }
}

function orderedText(result: OperationResult<OrderedOperation>): string {
  if ("phase" in result) return renderUpdate(result);
  if ("state" in result) return renderLockdown(result);
  if ("rebooting" in result) return "This device restarts now.\n";
  return "wiping" in result ? WIPING : renderUpgrade(result.grant);
}

/**
 * Shows a challenge, unless it was answered already, and sends the answer to the warden, the only
 * judge. [OPS-7]
 */
async function order({ operation, socket, json, answered }: OrderInvocation, ports: CommandPorts): Promise<ExitCode> {
  const { challenge, answer } = answered ?? (await askForAnswer(operation, socket, ports));
  const result = await ask(ports, socket, operation, { order: JSON.stringify(orderOfAnswer(challenge, answer)) });
  ports.out(json ? `${serialJson(result)}\n` : orderedText(result));
  return EXIT.ok;
}

async function askForAnswer(operation: OrderedOperation, socket: string, ports: CommandPorts) {
  const nonce = await ask(ports, socket, "order.nonce", { verb: operation });
  const challenge = { verb: operation, ...nonce };
  ports.err(`${renderChallenge(challenge)}Paste the line it prints here, and press Enter.\nanswer> `);
  const answer = await ports.line();
  if (answer === undefined)
    throw new Fault("usage.invalid", "no answer was given: standard input ended before the end of a line");
  return { challenge, answer };
}

/**
 * Asks the agent, and checks its result against the table of operations: a captured agent's answer
 * is input too.
 * @throws Fault of the agent's answer; `protocol.invalid`.
 */
async function ask<N extends OperationName>(
  { ask, id }: CommandPorts,
  socket: string,
  operation: N,
  args: Readonly<Record<string, unknown>>,
): Promise<OperationResult<N>> {
  const answer = await ask(socket, { v: 1, id: id(), operation, args });
  if ("fault" in answer) throw new Fault(answer.fault.code, answer.fault.message);
  return check(OPERATIONS[operation].result, answer.result, `answer of the agent to "${operation}"`, "protocol.invalid");
}
