// One installation: the installer started, told what to write, listened to, and killed when it is not wanted any more or hangs. [OTA-41]
import { asFault, Fault } from "../../hal/fault.ts";
import { parseJson } from "../../hal/format/json.ts";
import { check } from "../../hal/format/schema.ts";
import type { ChildProgram, Clock } from "../../hal/ports.ts";
import type { SlotName, SlotPart } from "../../hal/format/slots.ts";
import { INSTALL_LINE_BYTES_MAX, type InstallEvent, installEventSchema, type InstallJob } from "../install/format.ts";
import { SILENCE_MS_MAX } from "../install/index.ts";
import type { UpdateStatus } from "./format.ts";
import type { PartPlan } from "./release-plan.ts";

export interface JobOptions {
  readonly start: () => Promise<ChildProgram>;
  readonly clock: Pick<Clock, "sleep">;
  readonly slot: SlotName;
  readonly parts: readonly PartPlan[];
}

export type ExpectedChunks = NonNullable<UpdateStatus["expects"]>;

export interface WriteRequest {
  readonly part: SlotPart;
  readonly from: number;
  readonly to: number;
}

export interface InstallerJob {
  /** The installer has all indexes, or it is over. Never rejects. */
  readonly ready: Promise<void>;
  /** Resolves when every part is proven and the installer is gone. @throws Fault: the slot is not to be tried. */
  readonly done: Promise<void>;
  expects(): ExpectedChunks;
  isOver(): boolean;
  /** [OTA-41] Writes it if it is what is expected, which nothing else changes. Resolves when it is in the slot, when it is not expected, or when the job is over. */
  write(stretch: WriteRequest): Promise<void>;
  /** Resolves when the installer is gone. */
  abort(): Promise<void>;
}

export function startJob({ start, clock, slot, parts }: JobOptions): InstallerJob {
  const over = new AbortController();
  let child: ChildProgram | undefined;
  let expected = firstOf(parts[0]);
  let asked: { readonly stretch: WriteRequest; readonly written: PromiseWithResolvers<void> } | undefined;
  let heard = new AbortController();
  let isReady = false;
  let isDone = false;
  const ready = Promise.withResolvers<void>();

  const tell = async (order: InstallJob): Promise<void> => {
    await child?.tell(JSON.stringify(order));
  };
  const onNews = (news: InstallEvent): void => {
    switch (news.said) {
      case "ready":
        isReady = true;
        return ready.resolve();
      case "progress":
        return;
      case "written":
        if (asked === undefined || !isSame(asked.stretch, news)) throw outOfTurn(news);
        expected = { ...expected, from: news.to };
        asked.written.resolve();
        asked = undefined;
        return;
      case "proven": {
        if (news.part !== expected.part || expected.from !== expected.chunks) throw outOfTurn(news);
        const next = parts[parts.findIndex(({ part }) => part.part === news.part) + 1];
        if (next !== undefined) expected = firstOf(next);
        return;
      }
      case "done":
        if (expected.part !== parts.at(-1)?.part.part || expected.from !== expected.chunks) throw outOfTurn(news);
        isDone = true;
        return;
      case "fault":
        throw new Fault(news.code, news.message);
    }
  };
  const listen = async (): Promise<void> => {
    child = await start();
    void watch();
    if (over.signal.aborted) throw aborted();
    await tell({ do: "install", v: 1, slot, parts: parts.map(({ part }) => part) });
    for await (const line of child.lines) {
      heard.abort();
      onNews(newsOf(line));
    }
    const how = await child.ended;
    if (over.signal.aborted) throw aborted();
    if (!isDone || how !== "code 0")
      throw new Fault("process.failed", `write slot "${slot}": the installer ended (${how}) before its job was done`);
  };
  /** Kills an installer that says nothing while we wait for its news: while chunks are expected, it waits for us. */
  const watch = async (): Promise<void> => {
    while (!over.signal.aborted) {
      heard = new AbortController();
      await clock.sleep(SILENCE_MS_MAX, AbortSignal.any([heard.signal, over.signal]));
      const isOwed = !isReady || asked !== undefined || expected.from === expected.chunks;
      if (!heard.signal.aborted && isOwed) await child?.kill();
    }
  };
  const run = async (): Promise<void> => {
    try {
      await listen();
    } catch (error) {
      const fault = over.signal.aborted ? aborted() : asFault(error, "process.failed", `write slot "${slot}"`);
      throw fault;
    } finally {
      over.abort();
      await child?.kill();
      ready.resolve();
      asked?.written.resolve();
    }
  };
  const done = run();
  done.catch(() => undefined); // whoever started the job looks at it

  return {
    ready: ready.promise,
    done,
    expects: () => expected,
    isOver: () => over.signal.aborted,
    write: async (stretch) => {
      if (asked !== undefined) return isSame(asked.stretch, stretch) ? await asked.written.promise : undefined;
      const { part, from, chunks } = expected;
      const isExpected = stretch.part === part && stretch.from === from && stretch.to > from && stretch.to <= chunks;
      if (!isExpected || over.signal.aborted) return;
      asked = { stretch, written: Promise.withResolvers<void>() };
      const { written } = asked;
      await tell({ do: "write", ...stretch }).catch(() => undefined); // it is gone: that ends the job, and this wait
      await written.promise;
    },
    abort: async () => {
      over.abort();
      await child?.kill();
      await done.catch(() => undefined);
    },
  };
}

function firstOf(plan: PartPlan | undefined): ExpectedChunks {
  if (plan === undefined) throw new Fault("assert.broken", "a manifest has a part");
  return { part: plan.part.part, from: 0, chunks: plan.chunks };
}

function isSame(a: WriteRequest, b: WriteRequest): boolean {
  return a.part === b.part && a.from === b.from && a.to === b.to;
}

function newsOf(line: string): InstallEvent {
  return check(
    installEventSchema,
    parseJson(line, INSTALL_LINE_BYTES_MAX, "installer's line"),
    "installer's line",
    "protocol.invalid",
  );
}

function outOfTurn(news: InstallEvent): Fault {
  return new Fault("protocol.invalid", `listen to the installer: "${news.said}" out of turn`);
}

function aborted(): Fault {
  return new Fault("update.aborted", "write a slot: called off");
}
