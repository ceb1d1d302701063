// The lab's hub as a process, and its operator's commands.
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { Fault } from "../../../hal/fault.ts";
import { parseJson } from "../../../hal/format/json.ts";
import { check } from "../../../hal/format/schema.ts";
import { type HubAnchors, hubAnchorsSchema } from "../../../ota/format/anchors.ts";
import { type HubDevice, hubDevices } from "./hub-cli-json.ts";
import { environment, eventually, HANG_MS, type RunningProgram, startProgram } from "../runner/process.ts";

export interface HubProcessOptions {
  /** Its state directory. */
  readonly state: string;
  /** The address on which it listens, which is in its certificate too. */
  readonly address: string;
  /** Further names and addresses under which devices find it. */
  readonly hosts?: readonly string[];
  /** More arguments for `serve`. */
  readonly args?: readonly string[];
  readonly node: string;
  /** `sallyport-hub`'s main.js. */
  readonly program: string;
  /** Serves in its place; takes the arguments of `serve`. */
  readonly server?: string | undefined;
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly onLine?: ((line: string) => void) | undefined;
}

export interface HubProcess {
  readonly name: string;
  readonly state: string;
  /** The ports on which it listens, known once it was started. It keeps them over restarts. */
  readonly ports: { readonly est: number; readonly mqtt: number };
  anchors(): Promise<HubAnchors>;
  /** Resolves when it listens. */
  start(): Promise<RunningProgram>;
  /**
   * Runs `sallyport-hub`.
   * @returns its output.
   * @throws Fault `process.failed` with its stderr unless it exits with 0.
   */
  command(...args: readonly string[]): Promise<string>;
  /**
   * Waits for an enrolment request, looking every `everyMs`, and approves it.
   * @returns its id and fingerprint.
   * @throws Fault `process.timeout`.
   */
  approve(timeoutMs?: number, everyMs?: number): Promise<{ readonly id: string; readonly fingerprint: string }>;
}

const NAME = "hub.sallyport.test";
const OUTPUT_BYTES_MAX = 16_777_216;
/** Commands of the hub that need no state directory. */
const STATELESS: ReadonlySet<string> = new Set(["answer", "keygen"]);

/**
 * A hub in `state`, which is initialised when there is none yet. Starts no process.
 * @throws Fault `process.failed`.
 */
export async function openHubProcess(options: HubProcessOptions): Promise<HubProcess> {
  const { state, address, hosts = [], node, program, onLine } = options;
  const ports = { est: 0, mqtt: 0 };
  /** Asynchronous: this process may serve a disk meanwhile. */
  const run = (...args: readonly string[]): Promise<string> => {
    const words = ["-i", ...environment(), node, program, ...args];
    return new Promise((resolve, reject) => {
      execFile(
        "/usr/bin/env",
        words,
        { encoding: "utf8", timeout: HANG_MS, maxBuffer: OUTPUT_BYTES_MAX },
        (error, stdout, stderr) => {
          if (error === null) resolve(stdout);
          else
            reject(new Fault("process.failed", `sallyport-hub ${args.join(" ")} ended with ${error.code}: ${stderr}${stdout}`));
        },
      );
    });
  };
  if (!existsSync(join(state, "hub.json")))
    await run("init", "--state", state, "--name", "Lab hub", ...[NAME, address, ...hosts].flatMap((host) => ["--host", host]));

  const hub: HubProcess = {
    name: NAME,
    state,
    ports,
    anchors: async () =>
      check(hubAnchorsSchema, parseJson(await readFile(join(state, "hub.json")), 65_536, "anchors"), "anchors"),
    async start() {
      const words = ["serve", "--state", state, "--listen", address, "--json", "--retry-after", "1"];
      const where = ["--est-port", String(ports.est), "--mqtt-port", String(ports.mqtt)];
      const running = startProgram({
        name: "hub",
        command: node,
        endsWithUs: true,
        ...(options.env !== undefined && { env: options.env }),
        args: [options.server ?? program, ...words, ...where, ...(options.args ?? [])],
        ...(onLine !== undefined && { onLine }),
      });
      try {
        const ready = check(readySchema, parseJson(await running.line(/"ready"/u), 65_536, "ready line"), "ready line");
        ports.est = ready.estPort;
        ports.mqtt = ready.mqttPort;
      } catch (error) {
        await running.stop();
        throw error;
      }
      return running;
    },
    command: (...args) => run(...args, ...(STATELESS.has(args[0] ?? "") ? [] : ["--state", state])),
    async approve(timeoutMs, everyMs) {
      const pending = async (): Promise<HubDevice | undefined> =>
        (await hubDevices(hub)).find((device) => device.state === "pending");
      const request = await eventually("an enrolment request at the hub", pending, timeoutMs, everyMs);
      await hub.command("devices", "approve", request.id, request.fingerprint);
      return request;
    },
  };
  return hub;
}

const readySchema = v.looseObject({ estPort: v.number(), mqttPort: v.number() });
