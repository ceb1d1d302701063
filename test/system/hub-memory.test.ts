// Memory of the real hub process after floods: each wave is as large as the one that filled caches
// and allocators, so what grows from wave to wave is kept.
import { readFileSync } from "node:fs";
import { Agent, request } from "node:https";
import { join } from "node:path";
import { test, type Test } from "tap";
import * as v from "valibot";
import { hubAnchorsSchema, type HubAnchors } from "../../ota/format/anchors.ts";
import { needs } from "../lab/runner/needs.ts";
import { startProgram } from "../lab/runner/process.ts";
import { programFile } from "../lab/runner/programs.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";
import { EST, labDevice } from "../lab/worlds/hub.ts";

const MAIN = programFile("sallyport-hub");
const WAVE = 900;
/** Noise of the allocator; requests that were kept, with 4 KiB each, make 80 MiB. */
const GROWTH_BYTES_MAX = 12 * 1_048_576;
const readySchema = v.object({ event: v.literal("ready"), anchors: hubAnchorsSchema });

function residentBytes(pid: number): number {
  const [, kib = "0"] = /^VmRSS:\s+(\d+) kB$/mu.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Number(kib) * 1024;
}

/** A wave of enrolment requests from an address of its own, whose pace nobody else has used. */
async function wave(t: Test, anchors: HubAnchors, from: string, bodies: readonly Buffer[]): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  t.teardown(() => agent.destroy());
  const send = async (body: Buffer) =>
    new Promise<number>((resolve, reject) => {
      const outgoing = request({
        host: "127.0.0.1",
        servername: "localhost",
        port: anchors.estPort,
        localAddress: from,
        agent,
        ca: anchors.authority,
        path: `${EST}/simpleenroll`,
        method: "POST",
        headers: { "content-type": "application/pkcs10" },
      });
      outgoing.on("error", reject);
      outgoing.on("response", (response) => response.resume().on("end", () => resolve(response.statusCode ?? 0)));
      outgoing.end(body);
    });
  const codes = await Promise.all(
    Array.from({ length: WAVE }, async (_, at) => send(bodies[at % bodies.length] ?? Buffer.alloc(0))),
  );
  agent.destroy();
  return codes.filter((code) => code === 202 || code === 400).length;
}

test(
  "[TUN-7] [ID-7] the hub process returns to its level after floods of enrolment requests",
  { skip: needs("bundles") },
  async (t) => {
    const state = join(await temporaryDirectory(t), "hub");
    const program = (...args: readonly string[]) =>
      startProgram({
        name: "hub",
        command: process.execPath,
        args: ["--max-semi-space-size=4", MAIN, ...args, "--state", state],
      });
    await program("init", "--name", "Plant 7", "--host", "localhost").ended;
    const serving = program("serve", "--listen", "127.0.0.1", "--est-port", "0", "--mqtt-port", "0", "--json");
    t.teardown(async () => serving.stop());
    const { anchors } = v.parse(readySchema, JSON.parse(await serving.line(/"ready"/u)));
    const good: Buffer[] = [];
    for (let n = 0; n < 60; n += 1) good.push(Buffer.from(Buffer.from((await labDevice(`gw-${n}`)).csr).toString("base64")));
    const bodies = [...good, ...Array.from({ length: 30 }, (_, n) => Buffer.alloc(8000, 65 + (n % 26)))];

    const levels: number[] = [];
    for (let n = 0; n < 7; n += 1) {
      t.equal(await wave(t, anchors, `127.0.0.${60 + n}`, bodies), WAVE, "every request was answered");
      levels.push(residentBytes(serving.pid));
    }
    const [warm, last] = [Math.max(...levels.slice(1, 4)), Math.min(...levels.slice(4))];
    const mib = levels.map((bytes) => Math.round(bytes / 1_048_576));
    t.ok(last - warm < GROWTH_BYTES_MAX, `resident MiB after each wave: ${mib.join(", ")}`);
    t.comment(`resident MiB after each wave: ${mib.join(", ")}`);
  },
);
