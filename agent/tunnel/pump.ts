// The pump from the spool to the connection. It keeps the window of messages in flight filled, and
// never exceeds it. [TUN-6] [TUN-7]
import { Fault } from "../../hal/fault.ts";
import type { BrokerConnection } from "./connection.ts";
import type { UpChannel } from "./format.ts";
import type { Spool, SpoolClass, Spooled } from "./spool/index.ts";

export interface PumpOptions {
  readonly spool: Spool;
  readonly topic: (channel: UpChannel) => string;
  /** The connection that is up; undefined when there is none. */
  readonly connection: () => BrokerConnection | undefined;
  /** Whether a class is left out at present. [TUN-82] */
  readonly isPaused?: (cls: SpoolClass) => boolean;
  /** Keeps a message that the hub will never take. Never rejects. [TUN-81] */
  readonly setAside?: (message: Spooled, fault: Fault) => Promise<void>;
}

/**
 * @returns a function to call whenever there may be a message to send or room to send it. It sends
 *   at the end of this turn of the event loop, once for all calls of the turn. So the callers whose
 *   messages became durable go on first, and the disk writes their next ones meanwhile.
 */
export function createPump(options: PumpOptions): () => void {
  const pump = new Pump(options);
  return () => pump.wake();
}

class Pump {
  readonly #options: PumpOptions;
  #isWoken = false;
  #isReading = false;
  /** Woken while a message was read from the disk. */
  #again = false;

  constructor(options: PumpOptions) {
    this.#options = options;
  }

  wake(): void {
    if (this.#isWoken) return;
    this.#isWoken = true;
    setImmediate(() => {
      this.#isWoken = false;
      if (this.#isReading) this.#again = true;
      else this.#fill();
    });
  }

  #fill(): void {
    const { spool, connection, isPaused } = this.#options;
    for (let to = connection(); to?.hasRoom() === true; to = connection()) {
      const message = spool.nextReady(isPaused);
      if (message === undefined) return;
      if (message === "on-disk") return void this.#read();
      void this.#send(message, to);
    }
  }

  /** Sends one message from the disk, and then what was read with it. Never rejects. */
  async #read(): Promise<void> {
    const { spool, connection, isPaused } = this.#options;
    this.#isReading = true;
    this.#again = false;
    try {
      const message = await spool.next(isPaused);
      // Meanwhile the connection may have ended or been replaced. Each connection begins with a
      // rewind, so no message is skipped.
      const to = connection();
      if (message !== undefined && to !== undefined) void this.#send(message, to);
      this.#again ||= message !== undefined;
    } catch (error) {
      connection()?.destroy(asEnding(error));
    } finally {
      this.#isReading = false;
    }
    if (this.#again) this.wake();
  }

  async #send(message: Spooled, through: BrokerConnection): Promise<void> {
    try {
      await through.send(this.#options.topic(message.channel), message.payload, false);
      message.acknowledge();
    } catch (error) {
      // The message was not acknowledged, so it stays in the spool, and the next connection hands
      // it out once more. The exception is a message that this hub can never accept.
      if (!(error instanceof Fault) || error.code !== "spool.too-large") return through.destroy(asEnding(error));
      await this.#options.setAside?.(message, error);
      message.drop();
    }
  }
}

function asEnding(error: unknown): Fault {
  return error instanceof Fault ? error : new Fault("tunnel.protocol", "send from the spool", { cause: error });
}
