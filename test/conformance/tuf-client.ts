// Our trust core behind the command line that theupdateframework/tuf-conformance drives (its
// CLIENT-CLI.md). It exists for that suite only.
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { copyFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Fault } from "../../hal/fault.ts";
import { linuxFiles } from "../../hal/linux/index.ts";
import { checkTarget, type Fetch, openTrustStore, targetFileName } from "../../ota/trust/index.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    "metadata-dir": { type: "string", default: "" },
    "metadata-url": { type: "string", default: "" },
    "target-base-url": { type: "string", default: "" },
    "target-dir": { type: "string", default: "" },
    "target-name": { type: "string", multiple: true, default: [] },
  },
});
const directory = values["metadata-dir"];

function below(base: string, name: string): string {
  return `${base.replace(/\/$/u, "")}/${name}`;
}

async function get(url: string, bytesMax: number): Promise<Uint8Array | undefined> {
  const response = await fetch(url);
  if (response.status === 404 || response.status === 403) return undefined;
  if (!response.ok) throw new Fault("trust.missing", `${url}: ${response.status}`);
  return Buffer.from(await response.arrayBuffer()).subarray(0, bytesMax + 1);
}

async function refresh(names: readonly string[]): Promise<void> {
  const store = await openTrustStore(await linuxFiles(directory), readFileSync(join(directory, "root.json")));
  const fromHub: Fetch = (name, bytesMax) => get(below(values["metadata-url"], name), bytesMax);
  const catalogue = await store.refresh({ fetch: fromHub, nowMs: Date.now() });
  for (const name of names) {
    const target = await catalogue.find(name);
    if (target === undefined) throw new Fault("trust.missing", `no target "${name}"`);
    const path = join(values["target-dir"], createHash("sha256").update(name).digest("hex"));
    if (existsSync(path) && isTarget(target, readFileSync(path))) continue;
    const bytes = await get(below(values["target-base-url"], targetFileName(store.trusted, target)), target.file.length);
    if (bytes === undefined) throw new Fault("trust.missing", `no file for target "${name}"`);
    checkTarget(target, bytes);
    await mkdir(values["target-dir"], { recursive: true });
    await writeFile(path, bytes);
  }
}

function isTarget(target: Parameters<typeof checkTarget>[0], bytes: Uint8Array): boolean {
  try {
    checkTarget(target, bytes);
    return true;
  } catch (error) {
    if (error instanceof Fault) return false;
    throw error;
  }
}

try {
  const [command, trustedRoot] = positionals;
  if (command === "init" && trustedRoot !== undefined) await copyFile(trustedRoot, join(directory, "root.json"));
  else if (command === "refresh") await refresh([]);
  else if (command === "download") await refresh(values["target-name"]);
  else throw new Fault("usage.invalid", `init ROOT, refresh or download, got "${positionals.join(" ")}"`);
} catch (error) {
  if (!(error instanceof Fault)) throw error;
  process.stderr.write(`${error.code}: ${error.message}\n`);
  process.exitCode = 1;
}
