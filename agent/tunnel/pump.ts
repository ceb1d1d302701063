// From the spool to the connection: as much as may be on the way, no more. [TUN-6] [TUN-7]
import { Fault } from "../../hal/fault.ts";
import type { BrokerConnection } from "./connection.ts";
import type { UpChannel } from "./format.ts";
import type { Spool, Spooled } from "./spool/index.ts";

export interface PumpOptions {
  readonly spool: Spool;
  readonly topic: (channel: UpChannel) => string;
  /** The connection that is up, if one is. */
  readonly connection: () => BrokerConnection | undefined;
}

/** @returns what to call whenever there may be something to send or room to send it. One pump runs at a time; a call meanwhile makes it look again. */
export function createPump({ spool, topic, connection }: PumpOptions): () => void {
  let running = false;
  let again = false;

  async function send(message: Spooled, through: BrokerConnection): Promise<void> {
    try {
      await through.send(topic(message.channel), message.payload, false);
      message.acked();
    } catch (error) {
      // Not acknowledged: it stays in the spool, and the end of the connection hands it out again. Unless this hub can never take it.
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
          // The connection may be another by now, or gone: the next one begins with a rewind, so nothing is skipped.
          const now = connection();
          if (now === undefined) break;
          void send(message, now);
        }
      } while (again);
    } catch (error) {
      connection()?.destroy(asEnding(error));
    } finally {
      running = false; // with no await after the last look: whoever calls from now on starts the next round
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
