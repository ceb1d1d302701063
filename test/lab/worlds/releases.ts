// The agent's part in releases between a real HTTPS repository and the real update services of a
// warden, on a clock that runs fast.
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type ReleasePlaces, type Releases, startReleases } from "../../../agent/releases/index.ts";
import { linuxHandoverWriter, linuxFiles } from "../../../hal/linux/index.ts";
import type { Clock } from "../../../hal/ports.ts";
import type { OsManifest } from "../../../ota/install/format.ts";
import { chunkPath } from "../../../ota/index/format/index.ts";
import type { AuditEntry } from "../../../warden/audit/format/index.ts";
import type { VerbHandlers } from "../../../warden/protocol/index.ts";
import { chunkedImage } from "./chunked.ts";
import { imageOf } from "./images.ts";
import type { Pki } from "../counterparts/pki.ts";
import { labCustom, labRepository, type LabRepository, NOW_MS, sha256 } from "../counterparts/repository.ts";
import { clientOf, serveRepository } from "../counterparts/static-repository.ts";
import { SILENCE_MS_MAX } from "../../../warden/install/index.ts";
import { temporaryDirectory } from "../runner/temporary.ts";
import { realClock } from "./tunnel.ts";
import { updatingWarden, type UpdatingWarden } from "./updating-warden.ts";
import type { TestContext } from "../runner/context.ts";

/** How many milliseconds pass in one. */
const SPEED = 500;

export const fastClock: Clock = {
  nowMs: () => NOW_MS,
  monotonicMs: () => realClock.monotonicMs() * SPEED,
  sleep: (delayMs, signal) => realClock.sleep(delayMs / SPEED, signal),
};

/**
 * The warden's: its installer is a real process, which on a busy machine is silent for longer than
 * the fast clock allows.
 */
const wardenClock: Clock = {
  ...fastClock,
  sleep: (delayMs, signal) => realClock.sleep(delayMs === SILENCE_MS_MAX ? delayMs : delayMs / SPEED, signal),
};

export interface LabReleases {
  readonly lab: LabRepository;
  /** The folder that is served. */
  readonly directory: string;
  readonly warden: UpdatingWarden;
  readonly places: ReleasePlaces;
  /** The messages to the hub, and `renewed` where a new connection was made between them. */
  readonly told: (Readonly<Record<string, unknown>> | "renewed")[];
  readonly notes: AuditEntry[];
  readonly lines: string[];
  /** Starts the agent's part; an earlier one must be stopped first. */
  readonly start: (over?: Partial<ReleasePlaces>) => Releases;
  /** Writes the repository in memory to the folder that is served. */
  readonly publish: () => Promise<void>;
  /**
   * Adds `os/NAME.json` with chunks and indexes; {@link publish} publishes it.
   * @returns the parts' bytes.
   */
  readonly release: (name: string, counter: number) => Promise<Readonly<Record<"root" | "kernel", Buffer>>>;
  /** The names in the hand-over directory. */
  readonly dropped: () => Promise<readonly string[]>;
}

export async function labReleases(t: TestContext, pki: Pki, over: Partial<VerbHandlers> = {}): Promise<LabReleases> {
  const home = await temporaryDirectory(t);
  const directory = join(home, "repository");
  const handover = join(home, "handover");
  const lab = labRepository();
  const put = async (path: string, bytes: Uint8Array): Promise<void> => {
    await mkdir(dirname(join(directory, path)), { recursive: true });
    await writeFile(join(directory, path), bytes);
  };
  const drop = await linuxHandoverWriter(handover);
  const port = await serveRepository(t, directory, pki.server);
  const warden = await updatingWarden(t, {
    directory: home,
    imageRoot: lab.imageRoot,
    handover,
    deviceId: "gw-1",
    clock: wardenClock,
    over,
  });
  const places: ReleasePlaces = {
    metadata: () => linuxFiles(join(home, "trust")),
    imageRoot: async () => lab.imageRoot,
    drop: async () => drop,
    repository: () => clientOf(t, pki, port),
  };
  const told: LabReleases["told"] = [];
  const notes: AuditEntry[] = [];
  const lines: string[] = [];
  const running: Releases[] = [];
  t.teardown(async () => {
    for (const one of running) await one.stop();
  });
  return {
    lab,
    directory,
    warden,
    places,
    told,
    notes,
    lines,
    start: (instead = {}) => {
      const releases = startReleases({
        places: { ...places, ...instead },
        warden: warden.client,
        tunnel: { publish: async (_channel, body) => void told.push(body), renew: async () => void told.push("renewed") },
        clock: fastClock,
        random: () => 0,
        log: (line) => lines.push(line),
        note: (entry) => notes.push(entry),
      });
      running.push(releases);
      return releases;
    },
    publish: async () => {
      for (const [name, bytes] of lab.files) await put(`metadata/${name}`, bytes);
      for (const [name, bytes] of lab.payloads) await put(`targets/${name}`, bytes);
    },
    release: async (name, counter) => {
      const root = imageOf(60_000, `root of ${name}`);
      const kernel = imageOf(10_000, `kernel of ${name}`);
      const manifest: OsManifest = {
        v: 1,
        store: "chunks",
        parts: [await part("root", root), await part("kernel", kernel)],
      };
      lab.addTarget("os", `os/${name}.json`, JSON.stringify(manifest), labCustom({ line: "os", counter }));
      return { root, kernel };

      async function part(kind: "root" | "kernel", image: Buffer): Promise<OsManifest["parts"][number]> {
        const cut = join(home, `${name}.${kind}`);
        await mkdir(cut);
        const { index, source, caibx } = await chunkedImage(cut, image);
        for (let n = 0; n < index.count; n++) await put(`chunks/${chunkPath(index.at(n).id)}`, await source(index.at(n)));
        const bytes = await readFile(caibx);
        const path = `indexes/${name}.${kind}.caibx`;
        await put(path, bytes);
        return { part: kind, bytes: image.byteLength, index: { path, bytes: bytes.byteLength, sha256: sha256(bytes) } };
      }
    },
    dropped: () => readdir(handover),
  };
}
