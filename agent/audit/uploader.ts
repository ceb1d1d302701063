// Brings the audit log to the hub and the hub's cosignature back. [AUD-9]
// Only a courier: the warden signs, the hub judges, the warden checks the judgement; what is carried can't be changed unseen.
import { asFault, Fault } from "../../hal/fault.ts";
import type { Clock } from "../../hal/ports.ts";
import type { WardenClient } from "../../warden/client/index.ts";
import { AUDIT_READ_RECORDS_MAX } from "../../warden/protocol/format.ts";
import type { AuditAnswer, AuditUpload } from "../tunnel/format.ts";
import { ANSWER_WAIT_MS_MAX, LOOK_INTERVAL_MS, RETRY_MS_MAX, RETRY_MS_MIN } from "./limits.ts";

export interface AuditUploaderPorts {
  readonly warden: Pick<WardenClient, "call">;
  /** Publishes one delivery. Resolves when the broker has it. */
  readonly deliver: (body: AuditUpload["body"]) => Promise<void>;
  readonly clock: Clock;
  /** In [0, 1): a fleet whose hub was away must not deliver in step. */
  readonly random: () => number;
}

export interface AuditUploader {
  /** The tunnel is up: carry until {@link AuditUploader.disconnected}. */
  connected(): void;
  disconnected(): void;
  /** There may be new records: look now. */
  poke(): void;
  /** The hub's answer, validated at the tunnel's edge. */
  answer(body: AuditAnswer["body"]): void;
  /** Why nothing is carried, until something is again; for the status. */
  trouble(): Fault | undefined;
  stop(): Promise<void>;
}

/** What one connection knows. */
interface Session {
  readonly ended: AbortController;
  /** Aborted when there is reason to look; a new one for each look, so that a poke during a delivery is not lost. */
  poked: AbortController;
  /** Where the hub is; undefined until the warden's witnessed size is asked or the hub has said. */
  hubSize: number | undefined;
  answered: ((body: AuditAnswer["body"]) => void) | undefined;
  readonly done: Promise<void>;
}

interface Current {
  session: Session | undefined;
  /** Outlives the session: a hub that has disowned the log has not owned it again because the network failed. */
  trouble: Fault | undefined;
}

/** One delivery at a time: nothing waits in memory but the records on their way. */
export function createAuditUploader(ports: AuditUploaderPorts): AuditUploader {
  const current: Current = { session: undefined, trouble: undefined };
  const end = (): Promise<void> => {
    const { session } = current;
    current.session = undefined;
    session?.ended.abort();
    session?.poked.abort();
    return session?.done ?? Promise.resolve();
  };
  return {
    connected: () => {
      void end();
      const { promise, resolve } = Promise.withResolvers<void>();
      const session: Session = {
        ended: new AbortController(),
        poked: new AbortController(),
        hubSize: undefined,
        answered: undefined,
        done: promise,
      };
      current.session = session;
      void carry(ports, current, session).then(resolve);
    },
    disconnected: () => void end(),
    poke: () => current.session?.poked.abort(),
    answer: (body) => current.session?.answered?.(body),
    trouble: () => current.trouble,
    stop: end,
  };
}

/** Never rejects: what goes wrong is waited out and shown as trouble. */
async function carry(ports: AuditUploaderPorts, current: Current, session: Session): Promise<void> {
  let failures = 0;
  while (!session.ended.signal.aborted) {
    session.poked = new AbortController();
    try {
      const more = await deliverOnce(ports, session);
      failures = 0;
      current.trouble = undefined;
      if (!more) await ports.clock.sleep(LOOK_INTERVAL_MS, session.poked.signal);
    } catch (error) {
      if (session.ended.signal.aborted) return; // a connection that ended is no trouble of the trail
      current.trouble = asFault(error, "tunnel.closed", "deliver audit records");
      failures += 1;
      const bound = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** Math.min(failures - 1, 16));
      await ports.clock.sleep(bound * (0.5 + ports.random() / 2), session.ended.signal);
    }
  }
}

/**
 * Carries the next records, as many as one warden line holds, and their checkpoint.
 * @returns whether there may be more to carry at once.
 * @throws Fault `witness.conflict` when the hub knows a longer log than this one or refuses it; `tunnel.timeout` when it does not answer.
 */
async function deliverOnce(ports: AuditUploaderPorts, session: Session): Promise<boolean> {
  const { warden } = ports;
  const head = (await warden.call("status.read", {})).audit;
  const from = session.hubSize ?? head.witnessedSize;
  if (from > head.size)
    throw new Fault(
      "witness.conflict",
      `the hub has ${from} audit records of this device, its log ${head.size}: it was rolled back or wiped; the hub's operator must decide`,
    );
  if (from === head.size && head.witnessedSize === head.size) return false;
  const { records } =
    from === head.size
      ? { records: [] }
      : await warden.call("audit.read", { from, count: Math.min(AUDIT_READ_RECORDS_MAX, head.size - from) });
  const { oldSize, checkpoint, proof } = await warden.call("audit.checkpoint", { oldSize: from, size: from + records.length });
  const answer = await ask(ports, session, { oldSize, checkpoint, proof, records });
  switch (answer.answer) {
    case "cosigned": {
      const { witnessedSize } = await warden.call("audit.cosigned", { checkpoint: answer.checkpoint });
      session.hubSize = witnessedSize;
      return witnessedSize < head.size;
    }
    case "conflict":
      if (answer.size === from)
        throw new Fault("witness.conflict", `the hub refuses a delivery from ${from} and asks for the same`);
      session.hubSize = answer.size;
      return true;
    case "refused":
      throw new Fault("witness.conflict", `the hub does not witness this log: ${answer.reason}`);
  }
}

/** Delivers and waits for the hub's word. */
async function ask(
  { deliver, clock }: AuditUploaderPorts,
  session: Session,
  body: AuditUpload["body"],
): Promise<AuditAnswer["body"]> {
  // a session that ended while the warden was asked must not deliver on the next one's connection
  if (session.ended.signal.aborted) throw new Fault("tunnel.closed", "deliver audit records: the connection has ended");
  const { promise, resolve } = Promise.withResolvers<AuditAnswer["body"] | undefined>();
  const settled = new AbortController();
  session.answered = resolve;
  session.ended.signal.addEventListener("abort", () => resolve(undefined), { signal: settled.signal });
  try {
    await deliver(body);
    void clock.sleep(ANSWER_WAIT_MS_MAX, settled.signal).then(() => resolve(undefined));
    const answer = await promise;
    if (answer === undefined)
      throw new Fault("tunnel.timeout", `the hub did not answer an audit delivery within ${ANSWER_WAIT_MS_MAX / 1000} s`);
    return answer;
  } finally {
    session.answered = undefined;
    settled.abort();
  }
}
