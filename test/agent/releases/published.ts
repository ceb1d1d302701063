// A real HTTPS repository with published releases, a warden that wants files behind its real
// protocol, and the reports that the hub received about updates.
import { t as root, type Test } from "tap";
import type { VerbHandlers } from "../../../warden/protocol/index.ts";
import { makePki, type Pki } from "../../lab/counterparts/pki.ts";
import { needs } from "../../lab/runner/needs.ts";
import { eventually } from "../../lab/runner/process.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";
import { type LabReleases, labReleases } from "../../lab/worlds/releases.ts";

/** Why tests with a repository cannot run here; false when they can. */
export const skip = needs("openssl");

const directory = await temporaryDirectory(root);
const shared: { pki?: Pki } = {};

/** The authority of every repository of this test file. */
export function labPki(): Pki {
  return (shared.pki ??= makePki(directory));
}

export type Images = Readonly<Record<"root" | "kernel", Buffer>>;

/** A repository in which nothing was published. */
export function emptyRepository(t: Test, over: Partial<VerbHandlers> = {}): Promise<LabReleases> {
  return labReleases(t, labPki(), over);
}

/** A repository with metadata but without releases. */
export async function publishedMetadata(t: Test, over: Partial<VerbHandlers> = {}): Promise<LabReleases> {
  const lab = await emptyRepository(t, over);
  await lab.publish();
  return lab;
}

/** A repository with the release `os/NAME.json`. @returns the bytes of its parts. */
export async function publishedRelease(
  t: Test,
  name: string,
  counter: number,
): Promise<{ readonly lab: LabReleases; readonly image: Images }> {
  const lab = await emptyRepository(t);
  return { lab, image: await publishRelease(lab, name, counter) };
}

export async function publishRelease(lab: LabReleases, name: string, counter: number): Promise<Images> {
  const image = await lab.release(name, counter);
  lab.lab.publish("os");
  await lab.publish();
  return image;
}

/** The bytes that the warden has written so far. */
export function written({ warden }: LabReleases): Images {
  const { root: rootPart, kernel } = { root: warden.written.get("root") ?? [], kernel: warden.written.get("kernel") ?? [] };
  return { root: Buffer.concat(rootPart), kernel: Buffer.concat(kernel) };
}

/** Reports about updates that the hub received, oldest first. */
export function reports({ told }: LabReleases): readonly unknown[] {
  return told.flatMap((each) =>
    each !== "renewed" && each["kind"] === "update" && typeof each["update"] === "object" ? [each["update"]] : [],
  );
}

export function lastPhase(lab: LabReleases): unknown {
  const last = reports(lab).at(-1);
  return typeof last === "object" && last !== null && "phase" in last ? last.phase : undefined;
}

export function lastReportSays(lab: LabReleases, text: string): boolean {
  return JSON.stringify(reports(lab).at(-1) ?? {}).includes(text);
}

export function until(what: string, holds: () => boolean): Promise<boolean> {
  return eventually(what, async () => holds() || undefined, undefined, 5);
}
