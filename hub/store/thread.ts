// The program of a store thread: it opens the database and answers the hub's requests.
import { parentPort, workerData } from "node:worker_threads";
import { asFault, assert } from "../../hal/fault.ts";
import { tryCheck } from "../../hal/format/schema.ts";
import type { Engine } from "./engine.ts";
import { type StoreAnswer, type StoreRequest, requestMessage, threadData } from "./message.ts";
import { openSqlite } from "./sqlite.ts";

const data = tryCheck(threadData, workerData);
assert(data !== undefined, "a store thread is started with the path of the store");
serve(data.path);

function serve(path: string): void {
  const port = parentPort;
  const opened = attemptOpen(path);
  const answering = new Set<Promise<void>>();
  port?.on("message", (message: unknown) => {
    const request = tryCheck(requestMessage, message);
    assert(request !== undefined, "the hub sends a store thread what it understands");
    const earlier = request.ask === "close" ? [...answering] : [];
    const answered = answer(opened, request).then(async (text) => {
      // The hub ends this thread after the answer to "close", so that is the last one.
      await Promise.all(earlier);
      port.postMessage(text, []);
    });
    answering.add(answered);
    void answered.finally(() => answering.delete(answered));
  });
}

/** A store that does not open answers every request with the reason. */
function attemptOpen(path: string): Promise<Engine> {
  const opening = new Promise<Engine>((resolve) => {
    resolve(openSqlite(path));
  });
  opening.catch(() => undefined);
  return opening;
}

async function answer(opened: Promise<Engine>, request: StoreRequest): Promise<StoreAnswer> {
  const { id } = request;
  try {
    const engine = await opened;
    switch (request.ask) {
      case "read":
        return { id, rows: await engine.read(request.sql, request.parameters) };
      case "commit":
        return { id, results: await engine.commit(request.statements) };
      case "version":
        return { id, version: await engine.version() };
      case "close":
        await engine.close();
        return { id, closed: true };
    }
  } catch (error) {
    const { code, message } = asFault(error, "hub.store-failed", "work on the hub's store");
    return { id, fault: { code, message } };
  }
}
