// The `sallyport` command: reads what was typed, asks, prints, ends with a code a script can use.
import { asFault, Fault } from "../../hal/fault.ts";
import { check } from "../../hal/format/schema.ts";
import {
  type OperationAnswer,
  OPERATIONS,
  type OperationName,
  type OperationRequest,
  type OperationResult,
} from "../operations/format.ts";
import { plainJson, plainText, renderStatus, renderTail } from "../status/index.ts";
import { type Invocation, parseInvocation, USAGE } from "./arguments.ts";
import { EXIT, type ExitCode, exitCodeOf } from "./exit.ts";
import { type Evidence, verify } from "./verify.ts";

export interface CommandPorts {
  /** Asks the agent at a socket. @throws Fault `socket.unreachable`, `socket.denied`, `protocol.*`. */
  readonly ask: (socket: string, request: OperationRequest) => Promise<OperationAnswer>;
  /** @throws Fault `file.*` for a directory or a file that can't be read. */
  readonly evidence: (directory: string, checkpointFiles: readonly string[]) => Evidence;
  readonly version: string;
  /** A fresh correlation id. */
  readonly id: () => string;
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
}

/** Never throws: what goes wrong is printed, with what to do about it, and told by the code. */
export async function runCommand(argv: readonly string[], ports: CommandPorts): Promise<ExitCode> {
  try {
    return await carryOut(parseInvocation(argv), ports);
  } catch (error) {
    const { code, message } = asFault(error, "assert.broken", "run the command");
    ports.err(`sallyport: ${code}: ${plainText(message)}\n`);
    return exitCodeOf(code);
  }
}

async function carryOut(invocation: Invocation, ports: CommandPorts): Promise<ExitCode> {
  switch (invocation.command) {
    case "help":
      ports.out(USAGE);
      return EXIT.ok;
    case "version":
      ports.out(`sallyport/${ports.version}\n`);
      return EXIT.ok;
    case "status": {
      const result = await ask(ports, invocation.socket, "status", {});
      ports.out(invocation.json ? `${plainJson(result)}\n` : renderStatus(result));
      return EXIT.ok;
    }
    case "audit tail": {
      const result = await ask(
        ports,
        invocation.socket,
        "audit.tail",
        invocation.count === undefined ? {} : { count: invocation.count },
      );
      ports.out(invocation.json ? `${plainJson(result)}\n` : renderTail(result));
      return EXIT.ok;
    }
    case "audit verify": {
      const verdict = verify(invocation, ports.evidence(invocation.directory, invocation.checkpoints));
      ports.out(invocation.json ? verdict.json : verdict.text);
      return verdict.verified ? EXIT.ok : EXIT.unverified;
    }
  }
}

/** The answer's result, judged by the table: what comes from the agent is input too. @throws Fault as the agent gave it, `protocol.invalid`. */
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
