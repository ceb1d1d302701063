// People who each hold one key of a role, and the commands that they run in one release directory
// or in copies of it.
import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { run } from "../../../build/release/cli.ts";
import { openTrustStore } from "../../../ota/trust/index.ts";
import { NOW_MS } from "../counterparts/repository.ts";
import { fakeFiles } from "../fakes/files.ts";
import type { TestContext } from "../runner/context.ts";
import { temporaryDirectory } from "../runner/temporary.ts";

export interface Said {
  readonly code: number;
  /** All output in one line. */
  readonly text: string;
}

export interface KeyHolder {
  readonly file: string;
  readonly keyid: string;
  readonly publicKey: string;
}

export class ReleaseRoom {
  readonly dir: string;
  readonly to: string;
  readonly #directory: string;
  nowMs = NOW_MS;

  constructor(directory: string) {
    this.#directory = directory;
    this.dir = join(directory, "release");
    this.to = join(directory, "www");
  }

  /** One command of the release tool, by its words. */
  async tool(...words: readonly string[]): Promise<Said> {
    const lines: string[] = [];
    const print = (text: string): void => void lines.push(text);
    const code = await run(words, { out: print, err: print, shown: async () => undefined, nowMs: () => this.nowMs });
    return { code, text: lines.join("\n").replaceAll(/\s+/gu, " ") };
  }

  async sign(...words: readonly string[]): Promise<Said> {
    return await this.tool("sign", this.dir, ...words);
  }

  async holder(name: string): Promise<KeyHolder> {
    const file = join(this.#directory, `${name}.pem`);
    const { text } = await this.tool("keygen", file, "--json");
    return v.parse(v.object({ file: v.string(), keyid: v.string(), publicKey: v.string() }), JSON.parse(text));
  }

  /** Drafts a change of the keys of a role. */
  async give(role: string, threshold: number, ...holders: readonly KeyHolder[]): Promise<Said> {
    const keys = holders.flatMap(({ publicKey }) => ["--key", publicKey]);
    return await this.tool("keys", this.dir, role, ...keys, "--threshold", String(threshold));
  }

  /** Adds a draft for everyone. */
  async add(target: string, content: string): Promise<void> {
    const file = join(this.#directory, "content");
    writeFileSync(file, content);
    await this.tool("add", this.dir, target, file, "--hardware", "any", "--audience", "everyone");
  }

  /** A copy of the directory without keys, as somebody gets it. */
  copyFor(name: string): string {
    const copy = join(this.#directory, name);
    rmSync(copy, { recursive: true, force: true });
    cpSync(this.dir, copy, { recursive: true });
    rmSync(join(copy, "keys"), { recursive: true });
    return copy;
  }

  metadata(name: string): unknown {
    const path = join(this.dir, "repository/metadata", name);
    return existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : undefined;
  }

  /** The target as a device sees it that has the first root and takes what is published. */
  async seenByDevice(target: string): Promise<object | undefined> {
    const read = (name: string): Uint8Array | undefined => {
      const path = join(this.to, "metadata", name);
      return existsSync(path) ? readFileSync(path) : undefined;
    };
    const store = await openTrustStore(fakeFiles(), read("1.root.json") ?? Buffer.alloc(0));
    return await (await store.refresh({ fetch: async (name) => read(name), nowMs: this.nowMs })).find(target);
  }
}

export async function releaseRoom(t: TestContext, nowMs = NOW_MS): Promise<ReleaseRoom> {
  const room = new ReleaseRoom(await temporaryDirectory(t));
  room.nowMs = nowMs;
  await room.tool("init", room.dir);
  return room;
}
