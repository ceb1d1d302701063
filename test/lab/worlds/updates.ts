// A board that is updated: real slots, boot choice, floors, metadata and installer; the warden's part in this process, so that it can be stopped anywhere, and an agent
// of a few lines that brings what is wanted.
import { createHash } from "node:crypto";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Test } from "tap";
import * as v from "valibot";
import { bundleFile } from "../../../build/bundle.ts";
import { chunkImage } from "../../../build/release/chunks.ts";
import { asFault, assert, type Fault } from "../../../hal/fault.ts";
import {
  fileBootChoice,
  fileSlots,
  linuxClock,
  linuxHandoverReader,
  linuxHandoverWriter,
  linuxFiles,
  linuxHardware,
  linuxPower,
  linuxUptime,
  startChild,
} from "../../../hal/linux/index.ts";
import { deviceIdSchema } from "../../../hal/identity/format.ts";
import type { ChildProgram } from "../../../hal/ports.ts";
import type { SlotName } from "../../../hal/slots/format.ts";
import { openFloors } from "../../../ota/floor/index.ts";
import { chunkFileName, chunkPath, readIndex } from "../../../ota/index/format/index.ts";
import type { TargetCustom } from "../../../ota/trust/format/index.ts";
import type { AuditEntry } from "../../../warden/audit/format/index.ts";
import { installerCommand } from "../../../warden/install/index.ts";
import { INSTALL_LINE_BYTES_MAX } from "../../../warden/install/format.ts";
import type { UpdateStatus } from "../../../warden/update/format.ts";
import type { WantedFile } from "../../../warden/targets/format.ts";
import { openTargetService, type TargetService } from "../../../warden/targets/index.ts";
import { startUpdates, type Updates, type UpdateSettings } from "../../../warden/update/index.ts";
import { powerOn } from "../fakes/bootloader.ts";
import { SMALL_CHUNKS } from "./chunked.ts";
import { imageOf } from "./images.ts";
import { eventually } from "../runner/process.ts";
import { labCustom, type LabRepository, labRepository, NOW_MS } from "../counterparts/repository.ts";
import { temporaryDirectory } from "../runner/temporary.ts";

export const UPDATED_DEVICE = "GW-4711";

/** What the system that runs has shown, for its health. */
export interface Shown {
  agent: boolean;
  hub: boolean;
  lockdown: "waiting" | "passed" | "failed";
}

export interface LabRelease {
  readonly target: string;
  readonly image: Buffer;
  readonly planHash: string;
}

export interface UpdatedBoard {
  readonly repository: LabRepository;
  readonly root: string;
  readonly slot: (name: SlotName) => string;
  readonly handover: string;
  /** What went into the trail, over all boots. */
  readonly trail: AuditEntry[];
  readonly faults: Fault[];
  readonly shown: Shown;
  /** The one that runs. */
  readonly installers: ChildProgram[];
  /** A release of the target `os/gateway-N`, signed and published. */
  release(counter: number, change?: ReleaseChange): Promise<LabRelease>;
  /** Starts the warden's part, as after its start. */
  start(): Promise<Updates>;
  /** Stops it and starts it again, in the same boot. */
  restart(): Promise<Updates>;
  /** The reboot that was asked for: waits for the request, then the board boots what its boot loader chooses. */
  reboot(): Promise<Updates>;
  /** Power off, at once, and on. */
  powerCycle(): Promise<Updates>;
  /** What an agent does until nothing more is expected of it. */
  carry(updates: Updates, target: string): Promise<UpdateStatus>;
  /** One answer to `update.begin`, with all that is wanted brought first. */
  begin(updates: Updates, target: string): Promise<UpdateStatus>;
  /** As {@link begin}, but ends as soon as it is taken up: its manifest is wanted next. */
  takeUp(updates: Updates, target: string): Promise<void>;
  /** Leaves the chunks of a stretch with the courier, of the release's image. */
  bring(release: LabRelease, from: number, to: number): Promise<void>;
  chunks(release: LabRelease): number;
  floor(): Promise<number | undefined>;
}

export interface ReleaseChange {
  readonly custom?: Partial<TargetCustom>;
  readonly bytes?: number;
  /** Another file in the place of the index that the manifest names. */
  readonly index?: Buffer;
  /** Another file in the place of one chunk. */
  readonly chunk?: { readonly at: number; readonly file: Buffer };
  /** A second part beside the root image. */
  readonly kernel?: boolean;
}

export async function updatedBoard(t: Test, settings: Partial<UpdateSettings> = {}): Promise<UpdatedBoard> {
  const directory = await temporaryDirectory(t);
  const root = join(directory, "board");
  const slots = join(root, "slots");
  const handover = join(directory, "handover");
  await mkdir(slots, { recursive: true, mode: 0o700 });
  await mkdir(join(root, "proc"), { recursive: true });
  await writeFile(join(slots, "a.img"), "the system that runs\n", { mode: 0o600 });
  await writeFile(join(slots, "b.img"), "an older system\n", { mode: 0o600 });
  await writeFile(join(slots, "boot-choice"), "a\n", { mode: 0o600 });
  await powerOn(root);
  const program = join(directory, "sallyport-install.mjs");
  await bundleFile("warden/install/main.ts", program); // as it is shipped: its thread has no room for a compiler
  const drop = await linuxHandoverWriter(handover);
  const held = await linuxHandoverReader(handover);
  const repository = labRepository();
  /** Below the repository, beside metadata and targets. */
  const files = new Map<string, Uint8Array>();
  const images = new Map<string, { readonly chunks: readonly string[]; readonly index: string }>();
  const trail: AuditEntry[] = [];
  const faults: Fault[] = [];
  const installers: ChildProgram[] = [];
  const shown: Shown = { agent: false, hub: false, lockdown: "waiting" };
  const state = (name: string) => linuxFiles(join(directory, "warden", name));
  let running: Updates | undefined;
  let targets: TargetService | undefined;

  const installer = async (): Promise<ChildProgram> => {
    const { args, env } = installerCommand(program, { root, slots, handover });
    const variables = Object.entries(env).map(([key, value]) => `${key}=${value}`);
    const child = await startChild("/usr/bin/env", ["-i", ...variables, process.execPath, ...args], {
      lineBytesMax: INSTALL_LINE_BYTES_MAX,
      complain: () => undefined,
    });
    installers.push(child);
    return child;
  };

  const start = async (): Promise<Updates> => {
    const clock = { ...linuxClock(), nowMs: () => NOW_MS };
    const floors = await openFloors(await state("floors")).catch((error: unknown) =>
      asFault(error, "floor.invalid", "open floors"),
    );
    const note = async (entry: AuditEntry): Promise<void> => void trail.push(entry);
    const report = (fault: Fault): void => void faults.push(fault);
    const image = { v: 1, version: "1.0", hardware: "lab", counter: 1 } as const;
    targets = await openTargetService({
      files: await state("trust"),
      imageRoot: repository.imageRoot,
      handover: held,
      clock,
      clockTrusted: () => true,
      deviceId: v.parse(deviceIdSchema, UPDATED_DEVICE),
      hardware: image.hardware,
      floors: () => updates.floors(),
      record: note,
      report,
    });
    const updates: Updates = await startUpdates(
      {
        files: await state("update"),
        floors,
        slots: fileSlots({ directory: slots, root, partBytesMax: 67_108_864 }),
        boot: fileBootChoice(await linuxFiles(slots)),
        power: linuxPower({ root }),
        targets,
        installer,
        uptimeMs: () => linuxUptime(root),
        bootId: () => linuxHardware({ root }).bootId(),
        clock,
        health: {
          agentGreeted: () => shown.agent,
          hubHeard: () => shown.hub,
          lockdown: () => ({ verdict: shown.lockdown, detail: `as shown: ${shown.lockdown}` }),
        },
        record: note,
        report,
      },
      { image, approval: "signed", checks: ["agent", "hub", "lockdown"], trialMs: 60_000, ...settings },
    );
    running = updates;
    await updates.settle();
    return updates;
  };
  t.teardown(async () => {
    await running?.stop();
    for (const child of installers) await child.kill();
    await held[Symbol.asyncDispose]();
  });
  const fileAt = (path: string): Uint8Array | undefined =>
    path.startsWith("metadata/")
      ? repository.files.get(decodeURIComponent(path.slice(9)))
      : path.startsWith("targets/")
        ? repository.payloads.get(path.slice(8))
        : files.get(path);

  const bringWanted = async <A extends { readonly state: string }>(
    ask: (absent: readonly string[]) => Promise<WantedFile | A>,
  ): Promise<A> => {
    const absent: string[] = [];
    for (;;) {
      const answer = await ask(absent);
      if (!isWanted(answer)) return answer;
      const file = fileAt(answer.path);
      if (file === undefined) absent.push(answer.path);
      else await drop.put(answer.handoverName, file);
    }
  };
  const begin = async (updates: Updates, target: string): Promise<UpdateStatus> => {
    await drop.clear();
    await bringWanted(async (absent) => (await targets?.refresh(absent)) ?? { state: "current" });
    const { update } = await bringWanted((absent) => updates.verbs["update.begin"]({ target, absent: [...absent] }));
    return update;
  };
  const bringFrom = async (chunks: readonly string[], from: number, to: number): Promise<void> => {
    await drop.clear();
    for (const id of new Set(chunks.slice(from, to)))
      await drop.put(chunkFileName(id), fileAt(`store/${chunkPath(id)}`) ?? Buffer.of());
  };
  const chunksOf = (digest: string, part: string): readonly string[] => images.get(`${digest} ${part}`)?.chunks ?? [];

  const publish = async (
    part: string,
    image: Buffer,
    change: ReleaseChange,
  ): Promise<{ part: object; chunks: readonly string[] }> => {
    const at = join(directory, `${part}-image`);
    await writeFile(at, image);
    await chunkImage({ image: at, index: `${at}.caibx`, store: join(directory, "store"), sizes: SMALL_CHUNKS });
    const index = await readFile(`${at}.caibx`);
    const parsed = readIndex(index);
    const chunks = Array.from({ length: parsed.count }, (_, n) => parsed.at(n).id);
    for (const [n, id] of chunks.entries())
      files.set(
        `store/${chunkPath(id)}`,
        n === change.chunk?.at ? change.chunk.file : await readFile(join(directory, "store", chunkPath(id))),
      );
    const sha256 = createHash("sha256").update(index).digest("hex");
    files.set(`indexes/${sha256}.caibx`, change.index ?? index);
    return {
      part: { part, bytes: image.byteLength, index: { path: `indexes/${sha256}.caibx`, bytes: index.byteLength, sha256 } },
      chunks,
    };
  };

  return {
    repository,
    root,
    handover,
    trail,
    faults,
    shown,
    installers,
    slot: (name) => join(slots, `${name}.img`),
    release: async (counter, change = {}) => {
      const target = `os/gateway-${counter}`;
      const image = imageOf(change.bytes ?? 200_000, target);
      const main = await publish("root", image, change);
      const kernel = change.kernel === true ? await publish("kernel", imageOf(40_000, `${target} kernel`), change) : undefined;
      const parts = [main.part, ...(kernel === undefined ? [] : [kernel.part])];
      const manifest = JSON.stringify({ v: 1, store: "store", parts });
      const digest = createHash("sha256").update(manifest).digest("hex");
      images.set(`${digest} root`, { chunks: main.chunks, index: "" });
      if (kernel !== undefined) images.set(`${digest} kernel`, { chunks: kernel.chunks, index: "" });
      repository.addTarget("os", target, manifest, labCustom({ line: "os", counter, ...change.custom }));
      repository.publish("os");
      return { target, image, planHash: `sha256:${digest}` };
    },
    start,
    restart: async () => {
      await running?.stop();
      return await start();
    },
    reboot: async () => {
      const request = join(root, "run/reboot-request");
      await eventually("a request to reboot", async () => await readFile(request, "utf8"));
      await running?.stop();
      await rm(request);
      await powerOn(root);
      return await start();
    },
    powerCycle: async () => {
      await running?.stop();
      await rm(join(root, "run/reboot-request"), { force: true });
      await powerOn(root);
      return await start();
    },
    begin,
    takeUp: async (updates, target) => {
      await bringWanted(async (absent) => (await targets?.refresh(absent)) ?? { state: "current" });
      await bringWanted(async (absent) => {
        const answer = await updates.verbs["update.begin"]({ target, absent: [...absent] });
        return updates.status().phase === "idle" ? answer : { state: "begun" };
      });
    },
    carry: async (updates, target) => {
      let status = await begin(updates, target);
      while (status.phase === "verified" && status.expects !== undefined) {
        const { part, from, chunks } = status.expects;
        if (from === chunks) {
          await new Promise((resolve) => setTimeout(resolve, 10)); // being read back
          status = await updates.verbs["update.read"]({});
          continue;
        }
        const to = Math.min(from + 20, chunks);
        await bringFrom(chunksOf(status.release?.digest ?? "", part), from, to);
        status = await updates.verbs["update.write"]({ part, from, to });
      }
      return status;
    },
    bring: ({ planHash }, from, to) => bringFrom(chunksOf(planHash.slice(7), "root"), from, to),
    chunks: ({ planHash }) => chunksOf(planHash.slice(7), "root").length,
    floor: async () => {
      const floors = await openFloors(await state("floors"));
      return floors.record().lines["os"]?.floor;
    },
  };
}

function isWanted(answer: { readonly state: string }): answer is WantedFile {
  return answer.state === "wanted";
}

/** The names of what was recorded. */
export function eventsOf(board: UpdatedBoard): readonly string[] {
  return board.trail.map(({ event }) => event).filter((event) => event.startsWith("update.") || event === "system.rebooting");
}

export function lastOf(board: UpdatedBoard, event: AuditEntry["event"]): AuditEntry {
  const entry = board.trail.findLast((each) => each.event === event);
  assert(entry !== undefined, `"${event}" was recorded`);
  return entry;
}
