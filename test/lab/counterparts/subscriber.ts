// The hub's side at a foreign broker: a subscriber whose session outlives its connections. It is
// mqtt.js alone, none of our code.
import mqtt from "mqtt";
import type { Credential } from "./pki.ts";
import { eventually } from "../runner/process.ts";
import type { TestContext } from "../runner/context.ts";

export interface Received {
  readonly topic: string;
  readonly payload: string;
  readonly retain: boolean;
}

export interface Subscriber {
  readonly received: readonly Received[];
  readonly client: mqtt.MqttClient;
  /** Resolves when it is connected and the broker has acknowledged its subscription. */
  listening(): Promise<void>;
  end(): Promise<void>;
}

/**
 * Subscribes to everything that devices publish, as client `lab` with the certificate `credential`.
 * Ends with the test.
 */
export async function durableSubscriber(
  t: TestContext,
  options: {
    readonly port: number;
    readonly authority: Credential;
    readonly credential: Credential;
    readonly protocolVersion: 4 | 5;
    /**
     * With 0 it acknowledges nothing. Acknowledgements that a killed broker had not read would make
     * the kernel reset the connection, and drop the messages on their way to us.
     */
    readonly qos?: 0 | 1;
  },
): Promise<Subscriber> {
  const received: Received[] = [];
  const client = mqtt.connect({
    host: "localhost",
    port: options.port,
    protocol: "mqtts",
    ca: options.authority.cert,
    cert: options.credential.cert,
    key: options.credential.key,
    clientId: "lab",
    clean: false,
    protocolVersion: options.protocolVersion,
    reconnectPeriod: 50,
    ...(options.protocolVersion === 5 ? { properties: { sessionExpiryInterval: 3600 } } : {}),
  });
  // Refused connections while the broker is down are what the test is about.
  client.on("error", () => undefined);
  client.on("message", (topic, payload, packet) => received.push({ topic, payload: payload.toString(), retain: packet.retain }));
  const end = async (): Promise<void> => {
    if (!client.disconnected) await client.endAsync(true);
  };
  t.teardown(end);
  const subscriber: Subscriber = {
    received,
    client,
    async listening() {
      await eventually("the subscriber is listening", async () => {
        if (!client.connected) return undefined;
        await client.subscribeAsync("sallyport/1/+/up/#", { qos: options.qos ?? 1 });
        return true;
      });
    },
    end,
  };
  await subscriber.listening();
  return subscriber;
}
