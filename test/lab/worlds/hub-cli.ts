// The hub's command line as a function, and devices by hand that hear what it sends and answer what they like.
import type { MqttClient } from "mqtt";
import * as v from "valibot";
import { operationMessageSchema } from "../../../agent/tunnel/format.ts";
import type { OperationRequest } from "../../../agent/operations/format.ts";
import { run } from "../../../hub/cli/index.ts";
import type { Hub } from "../../../hub/index.ts";
import { connect, enrolled, labDevice, type LabDevice, labMessage } from "./hub.ts";
import type { TestContext } from "../runner/context.ts";

export interface Ran {
  readonly code: number;
  readonly out: readonly string[];
  readonly err: readonly string[];
  /** Its first line, printed with --json. */
  readonly data: Readonly<Record<string, unknown>>;
}

/** One command, as typed, beside the hub of that state. */
export async function hubCommand(state: string | undefined, ...argv: readonly string[]): Promise<Ran> {
  const [out, err]: [string[], string[]] = [[], []];
  const where = state === undefined ? [] : ["--state", state];
  const code = await run([...argv, ...where], {
    out: (text) => void out.push(text),
    err: (text) => void err.push(text),
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
  /** All that came down, in order, with what came twice. */
  readonly heard: readonly HeardMessage[];
  /** As its agent would publish it. */
  readonly report: (channel: "event" | "update" | "result", body: unknown) => Promise<void>;
}

/** A device that is let in, if it was not, connects and listens on all its topics. `answers` is what its operations come to; undefined keeps silent. */
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
    // who asked may be gone with the answer, and the connection with the test before its PUBACK
    client.publish(`sallyport/1/${device.id}/up/result`, labMessage(body), { qos: 1 }, () => undefined);
  });
  await client.subscribeAsync(`sallyport/1/${device.id}/down/+`, { qos: 1 });
  return { client, heard, report };
}

/** Let in, not connected yet. */
export async function admitted(hub: Hub, id: string): Promise<{ readonly device: LabDevice; readonly certificate: string }> {
  const device = await labDevice(id);
  return { device, certificate: await enrolled(hub, device) };
}
