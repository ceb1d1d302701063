// A warden for tests of the agent's errands, behind the real protocol: it verifies metadata and chunks with a store of its own, takes everything from the courier's
// directory, and keeps nothing between two requests but what it verified. Lockdown and the rest of an update's life are played.
import { Fault } from "../../../hal/fault.ts";
import { parseJson } from "../../../hal/format/json.ts";
import { check } from "../../../hal/format/schema.ts";
import type { DeviceId } from "../../../hal/identity/format.ts";
import { linuxHandoverReader } from "../../../hal/linux/index.ts";
import { handoverName } from "../../../ota/fetch/index.ts";
import { CHUNK_FILE_BYTES_MAX, chunkFileName, type ChunkIndex } from "../../../ota/index/format/index.ts";
import { verifyChunk } from "../../../ota/index/index.ts";
import { MANIFEST_BYTES_MAX, type OsManifest, osManifestSchema } from "../../../ota/install/format.ts";
import { openPartIndex } from "../../../ota/install/index.ts";
import {
  type Catalogue,
  checkTarget,
  type DeviceFacts,
  judgeTarget,
  openTrustStore,
  targetFileName,
} from "../../../ota/trust/index.ts";
import type { WardenClient } from "../../../warden/client/index.ts";
import type { VerbHandlers } from "../../../warden/protocol/index.ts";
import type { LockdownState } from "../../../warden/lockdown/format/index.ts";
import type { TargetOffer, WantedFile } from "../../../warden/targets/format.ts";
import type { UpdateStatus } from "../../../warden/update/format.ts";
import { fakeFiles } from "../fakes/files.ts";
import { NOW_MS } from "../counterparts/repository.ts";
import { clientOf, serveVerbs } from "./warden-socket.ts";
import type { TestContext } from "../runner/context.ts";

export interface WantingWarden {
  readonly client: WardenClient;
  /** What was asked, verbs in order. */
  readonly asked: string[];
  /** For tests to set: what it says of update and lockdown. */
  readonly says: { update: UpdateStatus; lockdown: LockdownState };
  /** Bytes of each part, as they were verified and written. */
  readonly written: Map<string, Buffer[]>;
  /** As after its restart: what it expects is forgotten, the phase is not. */
  restart(): void;
}

interface Part {
  readonly part: OsManifest["parts"][number]["part"];
  readonly index: ChunkIndex;
}

type Take = (path: string, bytesMax: number) => Promise<Uint8Array | undefined>;

/** @param over verbs that a test plays itself. The courier's directory must be there. */
export async function wantingWarden(
  t: TestContext,
  options: {
    readonly imageRoot: Uint8Array;
    readonly handover: string;
    readonly deviceId: DeviceId;
    readonly over?: Partial<VerbHandlers>;
  },
): Promise<WantingWarden> {
  const handover = await linuxHandoverReader(options.handover);
  const store = await openTrustStore(fakeFiles(), options.imageRoot);
  const device: DeviceFacts = { id: options.deviceId, hardware: "any", tenant: undefined, groups: [], floors: new Map() };
  const asked: string[] = [];
  const written = new Map<string, Buffer[]>();
  const says: WantingWarden["says"] = { update: { phase: "idle" }, lockdown: { at: "base" } };
  let parts: readonly Part[] = [];

  const onWhatIsThere = async <T>(absent: readonly string[], work: (take: Take) => Promise<T>): Promise<T | WantedFile> => {
    const asking: { wanted?: WantedFile } = {};
    const take: Take = async (path, bytesMax) => {
      if (absent.includes(path)) return undefined;
      const bytes = await handover.take(handoverName(path), bytesMax);
      if (bytes !== undefined) return bytes;
      asking.wanted = { state: "wanted", path, bytesMax, handoverName: handoverName(path) };
      throw new Fault("fetch.unreachable", `"${path}" is not there yet`);
    };
    try {
      return await work(take);
    } catch (error) {
      if (asking.wanted !== undefined) return asking.wanted;
      throw error;
    }
  };
  const cycle = (take: Take): Promise<Catalogue> =>
    store.refresh({ nowMs: NOW_MS, fetch: (name, bytesMax) => take(`metadata/${name}`, bytesMax) });
  const required = async (take: Take, path: string, bytesMax: number): Promise<Uint8Array> => {
    const bytes = await take(path, bytesMax);
    if (bytes === undefined) throw new Fault("trust.missing", `the repository has no "${path}"`);
    return bytes;
  };
  const expect = (part: Part | undefined, from = 0): void => {
    const { expects: _, ...rest } = says.update;
    says.update =
      part === undefined
        ? { ...rest, phase: "written" }
        : { ...rest, phase: "verified", expects: { part: part.part, from, chunks: part.index.count } };
  };

  const offersIn = async (catalogue: Catalogue): Promise<TargetOffer[]> => {
    const { targets } = await catalogue.list();
    const offers = targets.flatMap((target): TargetOffer[] => {
      const verdict = judgeTarget(target, device);
      if (verdict.kind === "refused") return [];
      const { line, counter } = verdict.custom;
      return [{ line, counter, target: target.path, digest: target.file.hashes.get("sha256") ?? "" }];
    });
    const newest = new Map<string, TargetOffer>();
    for (const offer of offers) if (offer.counter > (newest.get(offer.line)?.counter ?? 0)) newest.set(offer.line, offer);
    return [...newest.values()];
  };

  const handlers: Partial<VerbHandlers> = {
    "trust.refresh": ({ absent }) =>
      onWhatIsThere(absent, async (take) => {
        const offers = await offersIn(await cycle(take));
        const { root, timestamp, snapshot } = store.trusted;
        const [one, two, three] = [root.signed.version, timestamp?.signed.version ?? 0, snapshot?.signed.version ?? 0];
        return { state: "current", root: one, timestamp: two, snapshot: three, offers };
      }),
    "lockdown.read": async () => ({ state: says.lockdown, open: [], usb: [] }),
    "update.read": async () => says.update,
    "update.begin": ({ target: name, absent }) =>
      onWhatIsThere(absent, async (take) => {
        const { phase, release } = says.update;
        if (isTaken(phase) && release?.target !== name) throw new Fault("update.busy", `"${release?.target}" is under way`);
        const target = await (await cycle(take)).find(name);
        if (target === undefined || judgeTarget(target, device).kind === "refused")
          throw new Fault("update.refused", `"${name}" is not for this device`);
        const digest = target.file.hashes.get("sha256") ?? "";
        says.update = { phase: "fetching", release: { target: name, counter: 2, digest } };
        const payload = await required(take, `targets/${targetFileName(store.trusted, target)}`, MANIFEST_BYTES_MAX);
        checkTarget(target, payload);
        const manifest = check(osManifestSchema, parseJson(payload, MANIFEST_BYTES_MAX, name), name, "image.invalid");
        const planned: Part[] = [];
        for (const part of manifest.parts)
          planned.push({
            part: part.part,
            index: openPartIndex(await required(take, part.index.path, part.index.bytes), part),
          });
        parts = planned;
        const done = parts.findIndex(({ part, index }) => lengthOf(written.get(part)) < index.imageBytes);
        expect(parts[done], chunksIn(parts[done], written));
        return { state: "begun", update: says.update };
      }),
    "update.write": async ({ part, from, to }) => {
      const { expects } = says.update;
      const at = parts.findIndex((each) => each.part === part);
      const current = parts[at];
      if (current === undefined || expects?.part !== part || expects.from !== from) return says.update;
      for (let n = from; n < to; n++) {
        const ref = current.index.at(n);
        const encoded = await handover.take(chunkFileName(ref.id), CHUNK_FILE_BYTES_MAX);
        if (encoded === undefined) throw new Fault("chunk.missing", `chunk ${ref.id} was not brought`);
        written.set(part, [...(written.get(part) ?? []), Buffer.from(await verifyChunk(encoded, ref))]);
      }
      if (to < current.index.count) expect(current, to);
      else expect(parts[at + 1]);
      return says.update;
    },
    "update.abandon": async ({ code, message }) => {
      if (says.update.phase !== "fetching" && says.update.phase !== "verified") throw new Fault("update.not-waiting", "not now");
      const { expects: _, ...rest } = says.update;
      parts = [];
      return (says.update = { ...rest, phase: "failed", detail: `the agent gave up: ${code}: ${message}` });
    },
    ...options.over,
  };
  const served = await serveVerbs(handlers);
  const inner = clientOf(served.path);
  const client: WardenClient = {
    call: (verb, args) => {
      asked.push(verb);
      return inner.call(verb, args);
    },
    close: () => inner.close(),
  };
  t.teardown(async () => {
    client.close();
    await served.remove();
    await handover[Symbol.asyncDispose]();
  });
  return {
    client,
    asked,
    says,
    written,
    restart: () => {
      const { expects: _, ...rest } = says.update;
      parts = [];
      says.update = rest;
    },
  };
}

function isTaken(phase: UpdateStatus["phase"]): boolean {
  return phase === "fetching" || phase === "verified" || phase === "written" || phase === "trying";
}

function lengthOf(chunks: readonly Buffer[] = []): number {
  return chunks.reduce((sum, { byteLength }) => sum + byteLength, 0);
}

function chunksIn(part: Part | undefined, written: ReadonlyMap<string, readonly Buffer[]>): number {
  return part === undefined ? 0 : (written.get(part.part) ?? []).length;
}
