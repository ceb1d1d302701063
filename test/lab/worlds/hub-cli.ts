// The hub's command line as a function, and devices that a test plays: they record what the hub
// sends and answer as the test says.
import type { MqttClient } from "mqtt";
import * as v from "valibot";
import { operationMessageSchema } from "../../../agent/tunnel/format.ts";
import type { OperationRequest } from "../../../agent/operations/format.ts";
import { run } from "../../../hub/cli/index.ts";
import type { Hub } from "../../../hub/index.ts";
import { connect, enrolled, labDevice, type LabDevice, labMessage } from "./hub.ts";
import type { TestContext } from "../runner/context.ts";

export interface CommandResult {
  readonly code: number;
  readonly out: readonly string[];
  readonly err: readonly string[];
  /** The first line of its output, parsed, for a command with --json. */
  readonly data: Readonly<Record<string, unknown>>;
}

/** Runs one command beside the hub of that state directory. */
export async function hubCommand(state: string | undefined, ...argv: readonly string[]): Promise<CommandResult> {
  const [out, err]: [string[], string[]] = [[], []];
  const where = state === undefined ? [] : ["--state", state];
  const code = await run([...argv, ...where], {
    out: (text) => void out.push(text),
    err: (text) => void err.push(text),
    shown: async () => undefined,
    stop: new AbortController().signal,
  });
  return {
    code,
    out,
    err,
    get data() {
      return v.parse(v.looseObject({}), JSON.parse(out[0] ?? "null"));
    },
  };
}

const message = v.looseObject({ id: v.string(), body: v.looseObject({}) });

export interface HeardMessage {
  readonly channel: string;
  readonly id: string;
  readonly body: Readonly<Record<string, unknown>>;
}

export interface ListeningDevice {
  readonly client: MqttClient;
  /** All messages from the hub, in order, duplicates too. */
  readonly heard: readonly HeardMessage[];
  /** Publishes as the device's agent does. */
  readonly report: (channel: "event" | "update" | "result", body: unknown) => Promise<void>;
}

/**
 * A device that connects and subscribes to all its topics. `answers` gives the answers to its
 * operations; undefined answers nothing.
 */
export async function listening(
  t: TestContext,
  hub: Hub,
  { device, certificate }: { readonly device: LabDevice; readonly certificate: string },
  answers: (request: OperationRequest) => unknown = () => undefined,
): Promise<ListeningDevice> {
  const { client } = await connect(t, hub, device, certificate);
  const heard: HeardMessage[] = [];
  const report: ListeningDevice["report"] = async (channel, body) => {
    await client.publishAsync(`sallyport/1/${device.id}/up/${channel}`, labMessage(body), { qos: 1 });
  };
  client.on("message", (topic, payload) => {
    const parsed: unknown = JSON.parse(payload.toString());
    const channel = topic.split("/").at(-1) ?? "";
    heard.push({ channel, ...v.parse(message, parsed) });
    if (channel !== "operation") return;
    const request = v.parse(operationMessageSchema, parsed).body;
    const answer = answers(request);
    if (answer === undefined) return;
    const body = { kind: "operation", answer: { v: 1, id: request.id, ...answer } };
    // The asker may be gone when the answer comes, and the connection may end with the test before
    // its PUBACK.
    client.publish(`sallyport/1/${device.id}/up/result`, labMessage(body), { qos: 1 }, () => undefined);
  });
  await client.subscribeAsync(`sallyport/1/${device.id}/down/+`, { qos: 1 });
  return { client, heard, report };
}

/** A device that is approved and not connected yet. */
export async function admitted(hub: Hub, id: string): Promise<{ readonly device: LabDevice; readonly certificate: string }> {
  const device = await labDevice(id);
  return { device, certificate: await enrolled(hub, device) };
}
