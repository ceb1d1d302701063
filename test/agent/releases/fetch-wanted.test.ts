// A warden that wants files without end.
import { test } from "tap";
import { fetchWanted } from "../../../agent/releases/fetch-wanted.ts";
import { WANTED_BYTES_MAX, WANTS_MAX } from "../../../agent/releases/limits.ts";
import type { Repository } from "../../../ota/fetch/index.ts";
import type { WantedFile } from "../../../warden/targets/format.ts";

/** Asks for the file that `path` names, again and again. @returns the names of the files it got. */
async function serve(get: Repository["get"], path: (n: number) => string): Promise<{ fault: unknown; got: string[] }> {
  const got: string[] = [];
  const drop = {
    put: async (name: string) => void got.push(name),
    get: async () => undefined,
    remove: async () => undefined,
    clear: async () => undefined,
  };
  let requests = 0;
  const request = async (): Promise<WantedFile> => ({
    state: "wanted",
    path: path(requests++),
    bytesMax: 1e12,
    handoverName: `f-${requests}`,
  });
  const clock = { nowMs: () => 0, monotonicMs: () => 0, sleep: async () => undefined };
  const context = { repository: { get }, drop, clock, random: () => 0, signal: new AbortController().signal };
  const fault: unknown = await fetchWanted(context, request).catch((error: unknown) => error);
  return { fault, got };
}

const oneByte = async (): Promise<Uint8Array> => Buffer.from("{");

test("[OTA-40] a warden that wants the same file twice is refused", async (t) => {
  const { fault } = await serve(oneByte, () => "metadata/same.json");
  t.match(fault, { code: "protocol.invalid", message: /"metadata\/same\.json" for the second time/u });
});

test("[OTA-40] a warden that wants too many files that do not exist is refused", async (t) => {
  const { fault } = await serve(
    async () => undefined,
    (n) => `metadata/${n}.json`,
  );
  t.match(fault, { code: "protocol.invalid", message: /files that do not exist/u });
});

test("[OTA-40] a warden that wants too many files is refused", async (t) => {
  const { fault, got } = await serve(oneByte, (n) => `metadata/${n}.json`);
  t.match(fault, { code: "protocol.invalid" });
  t.equal(got.length, WANTS_MAX);
});

test("[OTA-40] a warden that wants too many bytes is refused, and no file is read beyond the bound", async (t) => {
  const requested: number[] = [];
  const largest = async (_path: string, bytesMax: number): Promise<Uint8Array> => {
    requested.push(bytesMax);
    return Buffer.alloc(bytesMax);
  };
  const { fault, got } = await serve(largest, (n) => `indexes/${n}`);
  t.match(fault, { code: "protocol.invalid" });
  t.ok(requested.every((bytesMax) => bytesMax * got.length <= WANTED_BYTES_MAX));
});
