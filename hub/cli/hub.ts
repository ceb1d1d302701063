// `sallyport-hub init`, `serve`, `anchors`, `alerts`: the hub itself.
import { once } from "node:events";
import { printableJson, quoted } from "../../hal/format/text.ts";
import { Fault } from "../../hal/fault.ts";
import { wrap } from "../../hal/format/prose.ts";
import { initHub, readAnchors } from "../authority/index.ts";
import { descriptorAdvice, descriptorLimit } from "../descriptors.ts";
import { paceLines } from "../../hal/line-pace.ts";
import { startHub } from "../hub.ts";
import { isReport, type JournalEntry } from "../store/index.ts";
import { readTroubles, type Trouble, type TroubleKind, troubleText } from "../troubles.ts";
import { TLS_VERSIONS, type ServerTlsVersion } from "../tls.ts";
import { type HubCommand, COUNT_OPTION, JSON_OPTION, STATE_OPTION } from "./command.ts";
import { journalLine, printed } from "./render.ts";
import { stateOf, withState } from "./state.ts";

/** What a trouble means for the devices. */
const MEANING: Readonly<Record<TroubleKind, string>> = {
  store: "; until then messages are not acknowledged, and devices keep them and send them again",
  clock: "",
  crl: "",
  step: "",
};
/** What is well again. */
const KINDS: Readonly<Record<TroubleKind, string>> = {
  store: "store",
  clock: "clock",
  crl: "list of revoked certificates",
  step: "clock",
};
const SHOWN_MAX = 100_000;
const SHOWN_DEFAULT = 50;
const PORTS = {
  "est-port": { type: "string" },
  "mqtt-port": { type: "string" },
  "certificate-life": { type: "string" },
} as const;

export const init: HubCommand = {
  name: "init",
  usage:
    "init [--state DIR] --name NAME --host HOST [--host HOST ...] [--est-port N] [--mqtt-port N] [--certificate-life 90d] [--json]",
  help: "Makes a hub: its authority, its keys and hub.json, the anchors for the devices' image. Devices check the first HOST.",
  options: { ...STATE_OPTION, ...JSON_OPTION, ...PORTS, name: { type: "string" }, host: { type: "string", multiple: true } },
  args: [],
  run: async (given, terminal) => {
    const state = stateOf(given);
    const hosts = given.list("host");
    if (hosts.length === 0)
      throw new Fault("usage.invalid", "init needs --host: the name or address by which devices reach the hub");
    const estPort = given.number("est-port", 1, 65_535);
    const mqttPort = given.number("mqtt-port", 1, 65_535);
    const life = given.duration("certificate-life");
    const anchors = await initHub({
      state,
      name: given.text("name"),
      hosts,
      ...(estPort === undefined ? {} : { estPort }),
      ...(mqttPort === undefined ? {} : { mqttPort }),
      ...(life === undefined ? {} : { certificateLifeMs: life }),
    });
    const option = given.optionalText("state") === undefined ? "" : ` --state ${state}`;
    terminal.out(
      given.flag("json")
        ? printableJson(anchors)
        : wrap(
            `made hub "${anchors.name}" in ${state}\nPut ${state}/hub.json into the devices' image, then run: sallyport-hub serve${option}`,
          ),
    );
    return 0;
  },
};

export const serve: HubCommand = {
  name: "serve",
  usage:
    "serve [--state DIR] [--listen ADDRESS] [--est-port N] [--mqtt-port N] [--retry-after S] [--certificate-life 90d] [--min-tls TLSv1.2] [--crl-url URL] [--json]",
  help: "Runs the hub until SIGTERM: enrolment, time and repository over HTTPS, and the broker over MQTT. Port 0 takes a free port, which the first line names. Only TLS 1.3 is accepted unless --min-tls allows 1.2. --crl-url is written into new device certificates, as the place of the list of revoked ones.",
  options: {
    ...STATE_OPTION,
    ...JSON_OPTION,
    ...PORTS,
    listen: { type: "string" },
    "retry-after": { type: "string" },
    "min-tls": { type: "string" },
    "crl-url": { type: "string" },
  },
  args: [],
  run: async (given, terminal) => {
    const json = given.flag("json");
    const state = stateOf(given);
    const listen = given.optionalText("listen") ?? "0.0.0.0";
    const estPort = given.number("est-port", 0, 65_535);
    const mqttPort = given.number("mqtt-port", 0, 65_535);
    const retryAfterS = given.number("retry-after", 1, 86_400);
    const life = given.duration("certificate-life");
    const crlUrl = given.optionalText("crl-url");
    const minTls = tlsVersion(given.optionalText("min-tls"));
    const hub = await startHub({
      state,
      listen,
      ...(estPort === undefined ? {} : { estPort }),
      ...(mqttPort === undefined ? {} : { mqttPort }),
      ...(retryAfterS === undefined ? {} : { retryAfterS }),
      ...(minTls === undefined ? {} : { minTls }),
      ...(life === undefined ? {} : { certificateLifeMs: life }),
      ...(crlUrl === undefined ? {} : { crlUrl }),
    });
    const ready = { event: "ready", pid: process.pid, estPort: hub.estPort, mqttPort: hub.mqttPort, anchors: hub.anchors };
    terminal.out(
      json
        ? printableJson(ready)
        : `hub "${hub.anchors.name}" serves EST on ${listen}:${hub.estPort} and MQTT on ${listen}:${hub.mqttPort} (pid ${process.pid})`,
    );
    const advice = descriptorAdvice(await descriptorLimit());
    if (advice !== undefined) terminal.err(`sallyport-hub: ${advice}`);
    hub.events.on("journal", (entry, before) => {
      if (!isPrinted(entry.times, before)) return;
      terminal.out(
        json ? printableJson({ ...entry, ...claimOf(entry), event: "journal", name: entry.event }) : journalLine(entry),
      );
    });
    const say = paceLines((line) => terminal.err(`sallyport-hub: ${line}`));
    hub.events.on("fault", (fault) => say(`${fault.code}: ${fault.message}`));
    const sayTrouble = ({ kind, code, message }: Trouble): void => say(`${code}: ${message}${MEANING[kind]}`);
    for (const trouble of hub.troubles()) sayTrouble(trouble);
    hub.events.on("trouble", sayTrouble);
    hub.events.on("troubleOver", ({ code, kind }) =>
      say(`${code}: this is over, the hub has no trouble with its ${KINDS[kind]} any more`),
    );
    if (!terminal.stop.aborted) await once(terminal.stop, "abort");
    await hub.stop();
    return 0;
  },
};

export const anchors: HubCommand = {
  name: "anchors",
  usage: "anchors [--state DIR]",
  help: "Prints hub.json for the devices' image: address, authority and keys of the hub.",
  options: { ...STATE_OPTION, ...JSON_OPTION },
  args: [],
  run: (given, terminal) => {
    terminal.out(printableJson(readAnchors(stateOf(given)), 2));
    return 0;
  },
};

export const alerts: HubCommand = {
  name: "alerts",
  usage: "alerts [--state DIR] [--all] [-n COUNT] [--json]",
  help: "Shows the hub's alerts, oldest first. --all shows its whole journal: approvals, connections, and refusals with their reasons.",
  options: { ...STATE_OPTION, ...JSON_OPTION, ...COUNT_OPTION, all: { type: "boolean" } },
  args: [],
  run: async (given, terminal) =>
    withState(given, async ({ store }) => {
      const json = given.flag("json");
      const troubles = readTroubles(stateOf(given));
      const entries = await store.journal.tail(
        given.number("count", 1, SHOWN_MAX) ?? SHOWN_DEFAULT,
        given.flag("all") ? "info" : "alert",
      );
      for (const trouble of troubles) terminal.out(json ? printableJson({ trouble }) : printed(troubleText(trouble)));
      for (const entry of entries) terminal.out(json ? printableJson({ ...entry, ...claimOf(entry) }) : journalLine(entry));
      if (entries.length + troubles.length === 0 && !json) terminal.out("none");
      return 0;
    }),
};

function tlsVersion(text: string | undefined): ServerTlsVersion | undefined {
  const version = TLS_VERSIONS.find((each) => each === text);
  if (version === undefined && text !== undefined)
    throw new Fault("usage.invalid", `--min-tls must be ${TLS_VERSIONS.join(" or ")}, got ${quoted(text)}`);
  return version;
}

/** [AUD-40] */
function claimOf({ event }: JournalEntry): { readonly saidBy?: "agent" } {
  return isReport(event) ? { saidBy: "agent" } : {};
}

/**
 * [OPS-35] A new entry is printed, and a repeated one when its count has reached another power of
 * ten, so that nobody fills the log.
 */
function isPrinted(times: number, before: number): boolean {
  return before === 0 || String(times).length > String(before).length;
}
