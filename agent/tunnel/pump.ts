// The pump from the spool to the connection. It keeps the window of messages in flight filled, and
// never exceeds it. [TUN-6] [TUN-7]
import { Fault } from "../../hal/fault.ts";
import type { BrokerConnection } from "./connection.ts";
import type { UpChannel } from "./format.ts";
import type { Spool, Spooled } from "./spool/index.ts";

export interface PumpOptions {
  readonly spool: Spool;
  readonly topic: (channel: UpChannel) => string;
  /** The connection that is up; undefined when there is none. */
  readonly connection: () => BrokerConnection | undefined;
}

/**
 * @returns a function to call whenever there may be a message to send or room to send it. Only one
 *   round runs at a time; a call during a round makes it check once more.
 */
export function createPump({ spool, topic, connection }: PumpOptions): () => void {
  let running = false;
  let again = false;

  async function send(message: Spooled, through: BrokerConnection): Promise<void> {
    try {
      await through.send(topic(message.channel), message.payload, false);
      message.acknowledge();
    } catch (error) {
      // The message was not acknowledged, so it stays in the spool, and the next connection hands
      // it out once more. The exception is a message that this hub can never accept.
      if (error instanceof Fault && error.code === "spool.too-large") message.drop();
      else through.destroy(asEnding(error));
    }
  }

  async function run(): Promise<void> {
    running = true;
    try {
      do {
        again = false;
        for (let to = connection(); to?.hasRoom() === true; to = connection()) {
          const message = await spool.next();
          if (message === undefined) break;
          // Meanwhile the connection may have ended or been replaced. Each connection begins with a
          // rewind, so no message is skipped.
          const now = connection();
          if (now === undefined) break;
          void send(message, now);
        }
      } while (again);
    } catch (error) {
      connection()?.destroy(asEnding(error));
    } finally {
      // With no await since the last check, so that a call from now on starts the next round.
      running = false;
    }
  }

  return () => {
    again = true;
    if (!running) void run();
  };
}

function asEnding(error: unknown): Fault {
  return error instanceof Fault ? error : new Fault("tunnel.protocol", "send from the spool", { cause: error });
}
