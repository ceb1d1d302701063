// The board that the agent runs on. A disk on another board than that of its birth leaves the
// tunnel to that board, and tells the hub, until an operator there has let it in. [ID-96] [ID-97]
import { asFault, Fault } from "../hal/fault.ts";
import { defined } from "../hal/format/defined.ts";
import type { FaultReport } from "../hal/format/fault.ts";
import { type Board, boardText } from "../hal/format/identity.ts";
import { canonicalJson } from "../hal/format/json.ts";
import { BOARD_BYTES_MAX, BOARD_PATH, boardDecisionSchema } from "../ota/format/board.ts";
import type { Clock } from "../hal/ports.ts";
import { postToHub } from "../provisioning/enrollers/index.ts";
import type { HubServer } from "../provisioning/tls/index.ts";
import type { AuditEntry } from "../warden/audit/format/index.ts";
import type { WardenClient } from "../warden/client/index.ts";
import type { WardenResult } from "../warden/protocol/format.ts";
import type { BoardReport } from "./tunnel/format.ts";

interface Credentials {
  readonly cert: string;
  readonly key: string;
}

/** The hub tells again daily, as long as the other disk asks. */
const ELSEWHERE_MS = 2 * 86_400_000;

export interface BoardGateOptions {
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly warden: Pick<WardenClient, "call">;
  readonly hub: HubServer;
  /** For the audit trail; never throws. */
  readonly note: (entry: AuditEntry) => void;
  /** Aborts when the agent stops. */
  readonly signal: AbortSignal;
}

export interface BoardGate {
  /**
   * Before each connection: whether this board may use the tunnel. What is not known permits it.
   * @throws Fault `identity.other-board`.
   */
  expect(credentials: Credentials): Promise<void>;
  /** Whether the last attempt was left to the first board. */
  waits(): boolean;
  /** Whether the hub has let in this board, which the warden goes on to call another one. */
  isLetIn(): boolean;
  /** The hub has told that a disk with this identity waits in another board. */
  elsewhere(found: Board): void;
  troubles(): readonly FaultReport[];
  /** For the hub, once: the board has changed, and may be the same one with a part replaced. */
  report(): BoardReport | undefined;
}

export function createBoardGate(options: BoardGateOptions): BoardGate {
  return new Gate(options);
}

type Answer = WardenResult<"identity.read">;

class Gate implements BoardGate {
  readonly #options: BoardGateOptions;
  /** Of the last look. */
  #own: Board | undefined;
  #elsewhere: { readonly found: Board; readonly atMs: number } | undefined;
  #report: BoardReport | undefined;
  #isReported = false;
  #waits = false;
  /** The board that the hub has let in, as text. */
  #admitted: string | undefined;

  constructor(options: BoardGateOptions) {
    this.#options = options;
  }

  async expect(credentials: Credentials): Promise<void> {
    this.#waits = false;
    const answer = await this.#options.warden.call("identity.read", {}).catch(unknown);
    if (answer?.board === undefined || answer.birth === undefined) return;
    const { birth, board } = answer;
    this.#own = board.found;
    // [ID-98] A card whose driver came late is no change: the last look before a connection counts.
    this.#report =
      board.verdict === "changed"
        ? { kind: "identity.changed", found: board.found, ...defined({ born: birth.board }) }
        : undefined;
    if (board.verdict !== "other" || birth.board === undefined || this.#admitted === canonicalJson(board.found)) return;
    this.#waits = true;
    await this.#ask(answer.identity.id, birth.board, board.found, credentials);
    this.#waits = false;
    this.#admitted = canonicalJson(board.found);
    this.#options.note({ event: "identity.board-admitted", result: "ok", detail: { by: "hub" } });
  }

  waits(): boolean {
    return this.#waits;
  }

  isLetIn(): boolean {
    return this.#admitted !== undefined && !this.#waits;
  }

  elsewhere(found: Board): void {
    this.#elsewhere = { found, atMs: this.#options.clock.monotonicMs() };
  }

  troubles(): readonly FaultReport[] {
    const told = this.#elsewhere;
    if (told === undefined || this.#options.clock.monotonicMs() - told.atMs > ELSEWHERE_MS) return [];
    const isOwn = this.#own !== undefined && canonicalJson(this.#own) === canonicalJson(told.found);
    if (isOwn) return []; // it was let in
    const message =
      `a disk with this device's identity is in another board (${boardText(told.found)}), which leaves the tunnel to this one and waits; ` +
      "if nobody moved it on purpose, the disk was copied: find that board; look on the hub: sallyport-hub devices board";
    return [{ code: "identity.elsewhere", message }];
  }

  report(): BoardReport | undefined {
    const report = this.#isReported ? undefined : this.#report;
    if (report !== undefined) this.#isReported = true;
    return report;
  }

  async #ask(
    deviceId: Answer["identity"]["id"],
    born: BoardReport["found"],
    found: BoardReport["found"],
    { cert: certificate, key }: Credentials,
  ): Promise<void> {
    const { hub, signal } = this.#options;
    const request = {
      path: BOARD_PATH,
      body: canonicalJson({ v: 1, deviceId, born, found }),
      answer: boardDecisionSchema,
      bytesMax: BOARD_BYTES_MAX,
    };
    const wait = "this disk was born on another board, and leaves the tunnel to it";
    const { decision } = await postToHub(hub, { certificate, key }, request, { signal }).catch((error: unknown) => {
      const { message } = asFault(error, "enrol.unreachable", "tell the hub");
      const advice = "put it back, or name this board in the file board beside its birth record";
      throw new Fault("identity.other-board", `${wait}; the hub could not be told: ${message}; ${advice}`, { cause: error });
    });
    if (decision === "take") return;
    throw new Fault("identity.other-board", `${wait}; put it back, or run on the hub: sallyport-hub devices board ${deviceId}`);
  }
}

/** @throws a defect of ours. */
function unknown(error: unknown): undefined {
  if (!(error instanceof Fault) || error.code === "assert.broken") throw error;
}
