// Challenge and response on the console: for the login, and for every operation that needs an
// order. The warden judges the answer. This file keeps what was asked, so that an order contains
// nothing that only the answer claims. [CON-4] [CON-5]
import { asFault, Fault } from "../../hal/fault.ts";
import { check } from "../../hal/format/schema.ts";
import type { Clock } from "../../hal/ports.ts";
import type { AuditEntry } from "../../warden/audit/format/index.ts";
import { type Challenge, type OrderEnvelope, orderOfAnswer, type OrderVerb } from "../../warden/orders/format/index.ts";
import type { FaultReport } from "../../hal/format/fault.ts";
import type { WardenResult } from "../../warden/protocol/format.ts";
import { type OperationAnswer, OPERATIONS, type OperationName, type OrderedOperation } from "../operations/format.ts";
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
import { type ConsoleCommand, commandOf } from "./commands.ts";
import type { LoginThrottle } from "./login-throttle.ts";
import { resultText } from "./results.ts";
import type { Host } from "./screen.ts";

/**
 * The warden's verification of orders, used for the login only; all else goes through the
 * operations.
 */
export interface OrderPorts {
  /** @throws Fault `protocol.closed` while the warden is away, and the faults of its refusals. */
  nonce(verb: OrderVerb): Promise<WardenResult<"order.nonce">>;
  /**
   * @throws Fault `order.*` for an answer that is refused, `protocol.closed` while the warden is
   *   away.
   */
  submit(verb: OrderVerb, order: string): Promise<WardenResult<"order.submit">>;
  /**
   * Whose key this is by the roster in force. [CON-12]
   * @throws Fault `protocol.closed` while the warden is away.
   */
  signer(keyid: string): Promise<WardenResult<"order.signer">>;
}

export interface ChallengeResponseOptions {
  readonly orders: OrderPorts;
  readonly throttle: LoginThrottle;
  readonly clock: Clock;
  readonly host: () => Host;
  readonly print: (text: string) => Promise<void>;
  /** Prints the fault of an operation that was not carried out. */
  readonly printFault: (fault: FaultReport) => Promise<void>;
  /** Performs an operation as the principal of the session. */
  readonly perform: (operation: OperationName, args: Readonly<Record<string, unknown>>) => Promise<OperationAnswer>;
  readonly record: (entry: Pick<AuditEntry, "event" | "result" | "detail">) => Promise<void>;
}

type Purpose = { readonly kind: "login" } | { readonly kind: "order"; readonly operation: OrderedOperation };

interface Pending {
  readonly command: ConsoleCommand;
  readonly purpose: Purpose;
  readonly challenge: Challenge;
}

export interface ChallengeResponse {
  /** True between a challenge and its end. Lines are answers then. */
  isPending(): boolean;
  /** Asks for a nonce and prints the challenge, or prints why there is none. */
  ask(command: ConsoleCommand, purpose: Purpose): Promise<void>;
  /**
   * Takes a line as the answer to the pending challenge.
   * @returns the login that it completed, if any.
   */
  answer(line: string): Promise<ConsoleLogin | undefined>;
  cancel(): void;
}

export function createChallengeResponse(options: ChallengeResponseOptions): ChallengeResponse {
  return new ConsoleChallenge(options);
}

class ConsoleChallenge implements ChallengeResponse {
  readonly #options: ChallengeResponseOptions;
  #pending: Pending | undefined;

  constructor(options: ChallengeResponseOptions) {
    this.#options = options;
  }

  isPending(): boolean {
    return this.#pending !== undefined;
  }

  async ask(command: ConsoleCommand, purpose: Purpose): Promise<void> {
    const { print, throttle } = this.#options;
    const waitMs = purpose.kind === "login" ? throttle.takeChallenge() : 0;
    if (waitMs > 0) return print(tooManyChallengesText(waitMs));
    const challenge = await orFault(() => this.#challengeFor(purpose));
    if (challenge === undefined) return print(namelessText());
    if ("code" in challenge) return this.#printUnjudged(purpose, challenge);
    this.#pending = { command, purpose, challenge };
    await print(challengeScreen(challenge));
  }

  async answer(line: string): Promise<ConsoleLogin | undefined> {
    const { print, throttle } = this.#options;
    const pending = this.#pending;
    if (pending === undefined) return undefined;
    const waitMs = throttle.waitMs();
    // People who are lost press Enter or type a command. Neither is an answer that could be
    // refused.
    const isAnswer = commandOf(line) === "unknown";
    if (isAnswer && waitMs === 0) return this.#judge(pending, line);
    await print(isAnswer ? tooEarlyText(waitMs) : noAnswerYetText());
    return undefined;
  }

  cancel(): void {
    this.#pending = undefined;
  }

  async #challengeFor(purpose: Purpose): Promise<Challenge | FaultReport | undefined> {
    const { host, orders, perform } = this.#options;
    if (purpose.kind === "order") {
      const answer = await perform("order.nonce", { verb: purpose.operation });
      if ("fault" in answer) return answer.fault;
      return { verb: purpose.operation, ...check(OPERATIONS["order.nonce"].result, answer.result, "order.nonce") };
    }
    const { deviceId } = host();
    return deviceId === undefined ? undefined : { verb: "console.login", deviceId, ...(await orders.nonce("console.login")) };
  }

  async #judge(pending: Pending, line: string): Promise<ConsoleLogin | undefined> {
    const envelope = await orFault(async () => orderOfAnswer(pending.challenge, line));
    if ("code" in envelope) {
      await this.#options.record({
        event: "input.refused",
        result: "refused",
        detail: { channel: "console", reason: "no answer to the challenge", verb: pending.challenge.verb },
      });
      await this.#refuse(pending, NO_ANSWER);
      return undefined;
    }
    const outcome = await orFault(() => this.#submit(pending, envelope));
    if (outcome !== undefined && "code" in outcome) {
      await this.#failed(pending, outcome);
      return undefined;
    }
    this.#pending = undefined;
    if (outcome !== undefined) await this.#options.throttle.reset();
    return outcome;
  }

  async #submit({ purpose, command }: Pending, envelope: OrderEnvelope): Promise<ConsoleLogin | FaultReport | undefined> {
    const { orders, perform, print } = this.#options;
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

  /**
   * A fault that is no verdict on the answer causes no wait. It ends the challenge all the same,
   * because the warden may have used up the nonce.
   */
  #failed(pending: Pending, fault: FaultReport): Promise<void> {
    const refusal = refusalOf(fault.code, this.#options.clock.nowMs());
    if (refusal !== undefined) return this.#refuse(pending, refusal);
    this.#pending = undefined;
    return this.#printUnjudged(pending.purpose, fault);
  }

  /** [CON-5] The next answer has to wait. */
  async #refuse({ command }: Pending, refusal: Refusal): Promise<void> {
    const { print, throttle } = this.#options;
    await throttle.recordRefusal();
    if (!refusal.retry) this.#pending = undefined;
    await print(refusal.text + (refusal.retry ? nextAnswerText(throttle.waitMs()) : newChallengeText(command.words)));
  }

  /**
   * For a fault that is no verdict, such as an absent warden. Its message is not shown before
   * login.
   */
  #printUnjudged(purpose: Purpose, fault: FaultReport): Promise<void> {
    const { print, printFault } = this.#options;
    return purpose.kind === "login" ? print(unjudgedText(fault.code)) : printFault(fault);
  }
}

/** @returns a Fault of `work` as a value. A closed line and a programming error are thrown on. */
async function orFault<T>(work: () => Promise<T>): Promise<T | FaultReport> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof Fault) || error.code === "serial.closed" || error.code === "assert.broken") throw error;
    const { code, message } = asFault(error, "operation.failed", "ask the warden");
    return { code, message };
  }
}
