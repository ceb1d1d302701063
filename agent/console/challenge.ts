// A challenge and its answer: login, and whatever needs an order. The warden judges; here is remembered what was asked, so that nothing in the order is the answerer's word. [CON-4] [CON-5]
import { asFault, Fault } from "../../hal/fault.ts";
import { check } from "../../hal/format/schema.ts";
import type { Clock } from "../../hal/ports.ts";
import type { AuditEntry } from "../../warden/audit/format/index.ts";
import { type Challenge, type OrderEnvelope, orderOfAnswer, type OrderVerb } from "../../warden/orders/format/index.ts";
import type { FaultReport } from "../../hal/format/fault.ts";
import type { WardenResult } from "../../warden/protocol/format.ts";
import { type OperationAnswer, OPERATIONS, type OperationName } from "../operations/format.ts";
import type { ConsoleLogin } from "../operations/index.ts";
import {
  challengeScreen,
  namelessText,
  newChallengeText,
  nextAnswerText,
  NO_ANSWER,
  noAnswerYetText,
  type Refusal,
  refusalOf,
  tooEarlyText,
  tooManyChallengesText,
  unjudgedText,
} from "./challenge-screen.ts";
import { type ConsoleCommand, commandOf, type OrderedOperation } from "./commands.ts";
import type { LoginThrottle } from "./login-throttle.ts";
import { resultText } from "./results.ts";
import type { Host } from "./screen.ts";

/** The warden's judge of orders, as the console needs it for the login; all else goes by the operations. */
export interface OrderPorts {
  /** @throws Fault `protocol.closed` while the warden is away, and what it refuses with. */
  nonce(verb: OrderVerb): Promise<WardenResult<"order.nonce">>;
  /** @throws Fault `order.*` for an answer that is refused, `protocol.closed` while the warden is away. */
  submit(verb: OrderVerb, order: string): Promise<WardenResult<"order.submit">>;
}

export interface ChallengeDialogOptions {
  readonly orders: OrderPorts;
  readonly gate: LoginThrottle;
  readonly clock: Clock;
  readonly host: () => Host;
  readonly print: (text: string) => Promise<void>;
  /** Prints what an operation was answered with when it was not carried out. */
  readonly printFault: (fault: FaultReport) => Promise<void>;
  /** Asks as whoever the session is. */
  readonly perform: (operation: OperationName, args: Readonly<Record<string, unknown>>) => Promise<OperationAnswer>;
  readonly record: (entry: Pick<AuditEntry, "event" | "result" | "detail">) => Promise<void>;
}

type Purpose = { readonly kind: "login" } | { readonly kind: "order"; readonly operation: OrderedOperation };

interface Pending {
  readonly command: ConsoleCommand;
  readonly purpose: Purpose;
  readonly challenge: Challenge;
}

export interface ChallengeDialog {
  /** True between a challenge and its end: lines are answers then. */
  pending(): boolean;
  /** Asks for a nonce and shows the challenge; says why not when there is none. */
  ask(command: ConsoleCommand, purpose: Purpose): Promise<void>;
  /** Takes a line as the answer. @returns who logged in, if it was that. */
  take(line: string): Promise<ConsoleLogin | undefined>;
  giveUp(): void;
}

export function createChallengeDialog({
  orders,
  gate,
  clock,
  host,
  print,
  printFault,
  perform,
  record,
}: ChallengeDialogOptions): ChallengeDialog {
  let pending: Pending | undefined;

  async function challengeFor(purpose: Purpose): Promise<Challenge | FaultReport | undefined> {
    if (purpose.kind === "order") {
      const answer = await perform("order.nonce", { verb: purpose.operation });
      if ("fault" in answer) return answer.fault;
      return { verb: purpose.operation, ...check(OPERATIONS["order.nonce"].result, answer.result, "order.nonce") };
    }
    const { deviceId } = host();
    return deviceId === undefined ? undefined : { verb: "console.login", deviceId, ...(await orders.nonce("console.login")) };
  }

  async function ask(command: ConsoleCommand, purpose: Purpose): Promise<void> {
    const waitMs = purpose.kind === "login" ? gate.takeChallenge() : 0;
    if (waitMs > 0) return print(tooManyChallengesText(waitMs));
    const challenge = await orFault(() => challengeFor(purpose));
    if (challenge === undefined) return print(namelessText());
    if ("code" in challenge) return unjudged(purpose, challenge);
    pending = { command, purpose, challenge };
    await print(challengeScreen(challenge));
  }

  /** What is no verdict on an answer: the warden was away, say. Before login its words are nobody's business. */
  function unjudged(purpose: Purpose, fault: FaultReport): Promise<void> {
    return purpose.kind === "login" ? print(unjudgedText(fault.code)) : printFault(fault);
  }

  /** [CON-5] The next answer has to wait. */
  async function refuse({ command }: Pending, refusal: Refusal): Promise<void> {
    gate.refused();
    if (!refusal.retry) pending = undefined;
    await print(refusal.text + (refusal.retry ? nextAnswerText(gate.waitMs()) : newChallengeText(command.words)));
  }

  /** What is no verdict on the answer costs nothing, but ends the challenge: who knows whether it was used. */
  function failed(now: Pending, fault: FaultReport): Promise<void> {
    const refusal = refusalOf(fault.code, clock.nowMs());
    if (refusal !== undefined) return refuse(now, refusal);
    pending = undefined;
    return unjudged(now.purpose, fault);
  }

  async function submit({ purpose, command }: Pending, envelope: OrderEnvelope): Promise<ConsoleLogin | FaultReport | undefined> {
    const order = JSON.stringify(envelope);
    if (purpose.kind === "login") {
      const { by, roles, keyid } = await orders.submit("console.login", order);
      return { id: by, roles, keyid };
    }
    const answer = await perform(purpose.operation, { order });
    if ("fault" in answer) return answer.fault;
    const { does } = command;
    if (does.kind === "order") await print(resultText(does, answer.result));
    return undefined;
  }

  async function answer(now: Pending, line: string): Promise<ConsoleLogin | undefined> {
    const envelope = await orFault(async () => orderOfAnswer(now.challenge, line));
    if ("code" in envelope) {
      await record({
        event: "input.refused",
        result: "refused",
        detail: { channel: "console", reason: "no answer to the challenge", verb: now.challenge.verb },
      });
      await refuse(now, NO_ANSWER);
      return undefined;
    }
    const done = await orFault(() => submit(now, envelope));
    if (done !== undefined && "code" in done) {
      await failed(now, done);
      return undefined;
    }
    pending = undefined;
    if (done !== undefined) gate.loggedIn();
    return done;
  }

  return {
    pending: () => pending !== undefined,
    ask,
    async take(line) {
      if (pending === undefined) return undefined;
      const waitMs = gate.waitMs();
      const meant = commandOf(line) === "unknown"; // nothing and commands are typed by people who have lost their way: no answers to hold against them
      if (meant && waitMs === 0) return answer(pending, line);
      await print(meant ? tooEarlyText(waitMs) : noAnswerYetText());
      return undefined;
    },
    giveUp: () => {
      pending = undefined;
    },
  };
}

/** A Fault as a value; a defect of ours goes on. */
async function orFault<T>(work: () => Promise<T>): Promise<T | FaultReport> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof Fault) || error.code === "serial.closed" || error.code === "assert.broken") throw error;
    const { code, message } = asFault(error, "operation.failed", "ask the warden");
    return { code, message };
  }
}
