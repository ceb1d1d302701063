// The events of the hub's journal that a user at the gateway's console wants to see. Pure.
import * as v from "valibot";
import { parseJson } from "../../hal/format/json.ts";

export type HubEvent =
  | { readonly kind: "request"; readonly id: string; readonly fingerprint: string }
  | { readonly kind: "said"; readonly text: string };

const LINE_BYTES_MAX = 65_536;

const entrySchema = v.looseObject({
  event: v.literal("journal"),
  name: v.string(),
  detail: v.record(v.string(), v.unknown()),
});
const requestSchema = v.looseObject({ id: v.string(), fingerprint: v.string() });

const SAID: Readonly<Record<string, string>> = {
  "certificate.issued": "hub issues its certificate",
  "enrolment.refused": "hub refuses to enrol it",
  "connection.opened": "hub accepts its connection",
  "connection.refused": "hub refuses its connection",
  "update.committed": "update committed",
  "update.failed": "update failed",
  "update.rolled-back": "update ROLLED BACK",
};
/** Members of an entry that are shown. */
const TELLING = ["target", "version", "running", "reason", "code", "message", "words"];
const TELLING_CHARACTERS_MAX = 200;

/** @param line as `sallyport-hub serve --json` prints it. */
export function readHubEvent(line: string): HubEvent | undefined {
  if (!line.startsWith("{")) return undefined;
  const entry = v.safeParse(entrySchema, parseJson(Buffer.from(line), LINE_BYTES_MAX, "line of the hub"));
  if (!entry.success) return undefined;
  const { name, detail } = entry.output;
  if (name === "device.requested") {
    const request = v.safeParse(requestSchema, detail);
    return request.success ? { kind: "request", id: request.output.id, fingerprint: request.output.fingerprint } : undefined;
  }
  const what = SAID[name];
  if (what === undefined) return undefined;
  const telling = TELLING.map((member) => detail[member]).filter((value) => typeof value === "string");
  const more = telling
    .join(", ")
    .replaceAll(/[^\u0020-\u007E]/gu, "?")
    .slice(0, TELLING_CHARACTERS_MAX);
  return { kind: "said", text: more === "" ? what : `${what}: ${more}` };
}
