// A board that is updated: the warden's update services, a repository in memory, and an agent of a
// few lines that brings what is wanted.
import { createHash } from "node:crypto";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { chunkImage } from "../../../build/release/chunks.ts";
import { assert } from "../../../hal/fault.ts";
import { linuxClock, linuxHandoverWriter } from "../../../hal/linux/index.ts";
import type { HandoverWriter } from "../../../hal/ports.ts";
import { openFloors } from "../../../ota/floor/index.ts";
import { chunkFileName, chunkPath, readIndex } from "../../../ota/index/format/index.ts";
import type { TargetCustom } from "../../../ota/trust/format/index.ts";
import type { AuditEntry } from "../../../warden/audit/format/index.ts";
import type { WantedFile } from "../../../warden/targets/format.ts";
import type { UpdateStatus } from "../../../warden/update/format.ts";
import type { Updates, UpdateSettings } from "../../../warden/update/index.ts";
import { labCustom, type LabRepository, labRepository, NOW_MS } from "../counterparts/repository.ts";
import { powerOn } from "../fakes/bootloader.ts";
import type { TestContext } from "../runner/context.ts";
import { eventually } from "../runner/process.ts";
import { temporaryDirectory } from "../runner/temporary.ts";
import { SMALL_CHUNKS } from "./chunked.ts";
import { imageOf } from "./images.ts";
import { UpdateServices } from "./update-services.ts";

export const UPDATED_DEVICE = "GW-4711";
/** The agent brings a part in ranges of so many chunks. */
const RANGE_CHUNKS = 20;

export interface LabRelease {
  readonly target: string;
  readonly image: Buffer;
  readonly planHash: string;
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

/** A new board that was never updated; everything ends with the test. */
export async function updatedBoard(t: TestContext, settings: Partial<UpdateSettings> = {}): Promise<UpdatedBoard> {
  const directory = await temporaryDirectory(t);
  const [root, handover] = [join(directory, "board"), join(directory, "handover")];
  const drop = await linuxHandoverWriter(handover);
  const releases = new LabReleaseFiles(directory);
  const services = await UpdateServices.open({
    directory,
    root,
    handover,
    imageRoot: releases.repository.imageRoot,
    deviceId: UPDATED_DEVICE,
    clock: { ...linuxClock(), nowMs: () => NOW_MS },
    settings,
  });
  t.teardown(() => services.close());
  return new UpdatedBoard(root, handover, drop, releases, services);
}

export class UpdatedBoard {
  readonly root: string;
  readonly handover: string;
  readonly repository: LabRepository;
  readonly trail: UpdateServices["trail"];
  readonly faults: UpdateServices["faults"];
  readonly shown: UpdateServices["health"];
  readonly installers: UpdateServices["installers"];
  readonly #drop: HandoverWriter;
  readonly #releases: LabReleaseFiles;
  readonly #services: UpdateServices;

  constructor(root: string, handover: string, drop: HandoverWriter, releases: LabReleaseFiles, services: UpdateServices) {
    this.root = root;
    this.handover = handover;
    this.repository = releases.repository;
    this.trail = services.trail;
    this.faults = services.faults;
    this.shown = services.health;
    this.installers = services.installers;
    this.#drop = drop;
    this.#releases = releases;
    this.#services = services;
  }

  slot(name: "a" | "b"): string {
    return this.#services.slot(name);
  }

  /** Signs and publishes a release of the target `os/gateway-N`. */
  release(counter: number, change: ReleaseChange = {}): Promise<LabRelease> {
    return this.#releases.publish(counter, change);
  }

  /** Starts the warden's services, as after its start. */
  start(): Promise<Updates> {
    return this.#services.start();
  }

  /** Stops the services and starts them again, in the same boot. */
  async restart(): Promise<Updates> {
    await this.#services.stop();
    return await this.start();
  }

  /** Waits until a reboot is requested; then the board boots what its boot loader chooses. */
  async reboot(): Promise<Updates> {
    await eventually("a request to reboot", async () => await readFile(this.#rebootRequest, "utf8"));
    return await this.powerCycle();
  }

  /** Power off at once, and on. */
  async powerCycle(): Promise<Updates> {
    await this.#services.stop();
    await rm(this.#rebootRequest, { force: true });
    await powerOn(this.root);
    return await this.start();
  }

  /**
   * Brings metadata, manifest and indexes, as an agent does.
   * @returns the answer to `update.begin`.
   */
  async begin(updates: Updates, target: string): Promise<UpdateStatus> {
    await this.#drop.clear();
    await this.#refresh();
    const { update } = await this.#bringWanted((absent) => updates.verbs["update.begin"]({ target, absent: [...absent] }));
    return update;
  }

  /** As {@link begin}, but ends as soon as the release is taken up: its manifest is wanted next. */
  async takeUp(updates: Updates, target: string): Promise<void> {
    await this.#refresh();
    await this.#bringWanted(async (absent) => {
      const answer = await updates.verbs["update.begin"]({ target, absent: [...absent] });
      return updates.status().phase === "idle" ? answer : { state: "begun" };
    });
  }

  /** Does what an agent does until nothing more is expected of it. */
  async carry(updates: Updates, target: string): Promise<UpdateStatus> {
    let status = await this.begin(updates, target);
    while (status.phase === "verified" && status.expects !== undefined) {
      const { part, from, chunks } = status.expects;
      if (from === chunks) {
        await new Promise((resolve) => setTimeout(resolve, 10)); // being read back
        status = await updates.verbs["update.read"]({});
        continue;
      }
      const to = Math.min(from + RANGE_CHUNKS, chunks);
      await this.#bringChunks(this.#releases.chunks(status.release?.digest ?? "", part).slice(from, to));
      status = await updates.verbs["update.write"]({ part, from, to });
    }
    return status;
  }

  /** Leaves chunks of the release's root image in the hand-over directory. */
  bring({ planHash }: LabRelease, from: number, to: number): Promise<void> {
    return this.#bringChunks(this.#releases.chunks(planHash.slice(7), "root").slice(from, to));
  }

  chunks({ planHash }: LabRelease): number {
    return this.#releases.chunks(planHash.slice(7), "root").length;
  }

  async floor(): Promise<number | undefined> {
    const floors = await openFloors(await this.#services.state("floors"));
    return floors.record().lines["os"]?.floor;
  }

  async #refresh(): Promise<void> {
    await this.#bringWanted((absent) => this.#services.targets.refresh(absent));
  }

  async #bringWanted<A extends { readonly state: string }>(
    ask: (absent: readonly string[]) => Promise<WantedFile | A>,
  ): Promise<A> {
    const absent: string[] = [];
    for (;;) {
      const answer = await ask(absent);
      if (!isWanted(answer)) return answer;
      const file = this.#releases.file(answer.path);
      if (file === undefined) absent.push(answer.path);
      else await this.#drop.put(answer.handoverName, file);
    }
  }

  async #bringChunks(chunks: readonly string[]): Promise<void> {
    await this.#drop.clear();
    for (const id of new Set(chunks))
      await this.#drop.put(chunkFileName(id), this.#releases.file(`store/${chunkPath(id)}`) ?? Buffer.of());
  }

  get #rebootRequest(): string {
    return join(this.root, "run/reboot-request");
  }
}

/** A repository in memory, with releases that were really cut into chunks. */
class LabReleaseFiles {
  readonly repository = labRepository();
  readonly #directory: string;
  /** By path, beside metadata and targets. */
  readonly #files = new Map<string, Uint8Array>();
  /** The chunks' ids, by the manifest's digest and the part. */
  readonly #chunks = new Map<string, readonly string[]>();

  constructor(directory: string) {
    this.#directory = directory;
  }

  file(path: string): Uint8Array | undefined {
    if (path.startsWith("metadata/")) return this.repository.files.get(decodeURIComponent(path.slice(9)));
    return path.startsWith("targets/") ? this.repository.payloads.get(path.slice(8)) : this.#files.get(path);
  }

  chunks(digest: string, part: string): readonly string[] {
    return this.#chunks.get(`${digest} ${part}`) ?? [];
  }

  async publish(counter: number, change: ReleaseChange): Promise<LabRelease> {
    const target = `os/gateway-${counter}`;
    const image = imageOf(change.bytes ?? 200_000, target);
    const parts = [await this.#part("root", image, change)];
    if (change.kernel === true) parts.push(await this.#part("kernel", imageOf(40_000, `${target} kernel`), change));
    const manifest = JSON.stringify({ v: 1, store: "store", parts: parts.map(({ entry }) => entry) });
    const digest = createHash("sha256").update(manifest).digest("hex");
    for (const { entry, chunks } of parts) this.#chunks.set(`${digest} ${entry.part}`, chunks);
    this.repository.addTarget("os", target, manifest, labCustom({ line: "os", counter, ...change.custom }));
    this.repository.publish("os");
    return { target, image, planHash: `sha256:${digest}` };
  }

  async #part(part: string, image: Buffer, change: ReleaseChange) {
    const at = join(this.#directory, `${part}-image`);
    await writeFile(at, image);
    await chunkImage({ image: at, index: `${at}.caibx`, store: join(this.#directory, "store"), sizes: SMALL_CHUNKS });
    const index = await readFile(`${at}.caibx`);
    const parsed = readIndex(index);
    const chunks = Array.from({ length: parsed.count }, (_, n) => parsed.at(n).id);
    for (const [n, id] of chunks.entries()) {
      const file = n === change.chunk?.at ? change.chunk.file : await readFile(join(this.#directory, "store", chunkPath(id)));
      this.#files.set(`store/${chunkPath(id)}`, file);
    }
    const sha256 = createHash("sha256").update(index).digest("hex");
    const path = `indexes/${sha256}.caibx`;
    this.#files.set(path, change.index ?? index);
    return { entry: { part, bytes: image.byteLength, index: { path, bytes: index.byteLength, sha256 } }, chunks };
  }
}

function isWanted(answer: { readonly state: string }): answer is WantedFile {
  return answer.state === "wanted";
}

/** The names of the update's events that were recorded. */
export function eventsOf(board: UpdatedBoard): readonly string[] {
  return board.trail.map(({ event }) => event).filter((event) => event.startsWith("update.") || event === "system.rebooting");
}

export function lastOf(board: UpdatedBoard, event: AuditEntry["event"]): AuditEntry {
  const entry = board.trail.findLast((each) => each.event === event);
  assert(entry !== undefined, `"${event}" was recorded`);
  return entry;
}
