// The search for a message that ends every connection: one that the broker cuts off without a word,
// because it is larger than a limit that was never announced, or for a reason of its own. Nothing
// behind such a message would ever arrive. [STA-15] [TUN-21]
//
// A hub that cannot store anything, because its disk is full, looks the same at first. So a message
// is given up only when it ends a connection right after another one was acknowledged on it.
import { hash } from "node:crypto";
import { Fault } from "../../hal/fault.ts";
import { type BrokerConnection, PACKET_TOO_LARGE } from "./connection.ts";
import { HELD_MAX, PAUSE_MS, SUSPECT_CUTS_MAX } from "./limits.ts";

export interface Suspects {
  /**
   * @returns the connection as the sender of the spool uses it. After an end with messages in
   *   flight, one message is in flight at a time, so that the next end tells which. A message that
   *   was alone in flight at {@link SUSPECT_CUTS_MAX} ends in a row is held back until another one
   *   is acknowledged. If it ends that connection too, it is refused, as one that this hub can
   *   never accept.
   */
  guard(connection: BrokerConnection | undefined): BrokerConnection | undefined;
  /** Whether the last connection ended over one message: then nobody else need be the cause. */
  suspects(): boolean;
  /**
   * Whether the messages to this topic are left out at present: {@link HELD_MAX} of them in a row
   * ended every connection, so that others would never have their turn. [TUN-82]
   */
  isPaused(topic: string): boolean;
}

/**
 * @param onRoom is called when there is room for another message.
 * @param onPaused is called when a topic is left out from now on.
 */
export function createSuspects(onRoom: () => void, onPaused: (topic: string) => void = () => undefined): Suspects {
  return new CutCounter(onRoom, onPaused);
}

class CutCounter implements Suspects {
  readonly #onRoom: () => void;
  readonly #onPaused: (topic: string) => void;
  /** Each with the timer that ends it. */
  readonly #paused = new Map<string, NodeJS.Timeout>();
  #guarded: { readonly of: BrokerConnection; readonly as: BrokerConnection } | undefined;
  /** One message at a time. */
  #careful = false;
  #isCutAlone = false;
  #inFlight = 0;
  /** The message that was alone in flight at the last ends, and how many there were. */
  #suspect: { readonly digest: string; readonly cuts: number } | undefined;
  /** Digests of the messages that are held back, with their topics. */
  readonly #held = new Map<string, string>();
  /** Sends those of them that were handed out on this connection. */
  #retries: (() => Promise<void>)[] = [];
  /** Digests of messages that were cut off where another one had passed. */
  readonly #refused = new Set<string>();

  constructor(onRoom: () => void, onPaused: (topic: string) => void) {
    this.#onRoom = onRoom;
    this.#onPaused = onPaused;
  }

  guard(connection: BrokerConnection | undefined): BrokerConnection | undefined {
    if (connection === undefined) return undefined;
    if (this.#guarded?.of !== connection) {
      this.#inFlight = 0;
      this.#retries = [];
      this.#guarded = { of: connection, as: this.#guardOf(connection) };
    }
    return this.#guarded.as;
  }

  suspects(): boolean {
    return this.#isCutAlone;
  }

  isPaused(topic: string): boolean {
    return this.#paused.has(topic);
  }

  #guardOf(connection: BrokerConnection): BrokerConnection {
    return {
      hasRoom: () => (!this.#careful || this.#inFlight === 0) && connection.hasRoom(),
      send: (topic, payload, retain) => this.#send(connection, topic, payload, retain),
      subscribe: (topics) => connection.subscribe(topics),
      close: (farewell) => connection.close(farewell),
      destroy: (fault) => connection.destroy(fault),
      ended: connection.ended,
    };
  }

  async #send(connection: BrokerConnection, topic: string, payload: Uint8Array, retain: boolean): Promise<void> {
    if (this.#refused.size > 0 && this.#refused.delete(digestOf(payload))) throw neverAccepted(topic, payload);
    if (this.#held.size > 0 && this.#held.has(digestOf(payload))) return this.#holdBack(connection, topic, payload);
    const isAlone = this.#careful;
    this.#inFlight += 1;
    try {
      await connection.send(topic, payload, retain);
      this.#resume(topic);
      this.#acknowledged(payload);
    } catch (error) {
      if (error instanceof Fault && error.code !== "spool.too-large") this.#cut(topic, payload, isAlone, connection);
      throw error;
    } finally {
      if (this.#guarded?.of === connection) this.#inFlight -= 1;
    }
    if (isAlone) this.#onRoom();
  }

  /** Sends once another message is acknowledged. Rejects when the connection ends before. */
  #holdBack(connection: BrokerConnection, topic: string, payload: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#retries.push(async () => {
        try {
          resolve(await connection.send(topic, payload, false));
        } catch (error) {
          const { by } = await connection.ended;
          if (by !== "us" && this.#refused.size < HELD_MAX) this.#refused.add(digestOf(payload));
          reject(error);
        }
      });
      void connection.ended.then(({ fault }) => reject(new Fault("tunnel.closed", fault.message, { cause: fault })));
    });
  }

  async #retryHeld(): Promise<void> {
    this.#inFlight += 1;
    const guarded = this.#guarded;
    for (let retry = this.#retries.shift(); retry !== undefined; retry = this.#retries.shift()) await retry();
    if (this.#guarded === guarded) this.#inFlight -= 1;
    this.#onRoom();
  }

  #acknowledged(payload: Uint8Array): void {
    this.#isCutAlone = false;
    if (this.#held.size === 0 && this.#suspect !== undefined && this.#suspect.digest !== digestOf(payload)) return;
    this.#suspect = undefined;
    this.#careful = this.#retries.length > 0;
    this.#held.clear();
    if (this.#careful) void this.#retryHeld();
  }

  #cut(topic: string, payload: Uint8Array, isAlone: boolean, { ended }: BrokerConnection): void {
    this.#careful = true;
    if (!isAlone) return;
    this.#isCutAlone = true;
    const digest = digestOf(payload);
    void ended.then(({ by, reason }) => {
      // the hub has said what it ends the connection over, and this message was alone
      if (reason === PACKET_TOO_LARGE && this.#refused.size < HELD_MAX) this.#refused.add(digest);
      // the end of a connection that this device closed is nobody's fault
      else if (by !== "us") this.#blame(digest, topic);
    });
  }

  #blame(digest: string, topic: string): void {
    const cuts = (this.#suspect?.digest === digest ? this.#suspect.cuts : 0) + 1;
    this.#suspect = cuts < SUSPECT_CUTS_MAX ? { digest, cuts } : undefined;
    if (cuts < SUSPECT_CUTS_MAX) return;
    if (this.#held.size < HELD_MAX) return void this.#held.set(digest, topic);
    // where so many messages fail, it is the hub, or all that goes to one topic
    if ([...this.#held.values()].every((each) => each === topic)) this.#pause(topic);
    this.#held.clear();
  }

  #pause(topic: string): void {
    clearTimeout(this.#paused.get(topic));
    const again = (): void => {
      this.#paused.delete(topic);
      this.#onRoom();
    };
    this.#paused.set(topic, setTimeout(again, PAUSE_MS).unref());
    this.#onPaused(topic);
  }

  #resume(topic: string): void {
    clearTimeout(this.#paused.get(topic));
    this.#paused.delete(topic);
  }
}

function neverAccepted(topic: string, payload: Uint8Array): Fault {
  const why = `${SUSPECT_CUTS_MAX} connections in a row ended over this message alone, and one more after another had passed`;
  return new Fault("spool.too-large", `send ${payload.byteLength} bytes to "${topic}": ${why}`);
}

function digestOf(payload: Uint8Array): string {
  return hash("sha256", payload, "base64");
}
