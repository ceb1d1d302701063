// The program of a store thread: it opens the database and answers the hub's requests.
import { parentPort, workerData } from "node:worker_threads";
import { asFault } from "../../hal/fault.ts";
import type { Engine } from "./engine.ts";
import { type AnswerMessage, type RequestMessage, requestMessage, threadData } from "./message.ts";
import { openSqlite } from "./sqlite.ts";
import { check } from "../../hal/format/schema.ts";

serve(check(threadData, workerData, "data of the store's thread", "assert.broken").path);

function serve(path: string): void {
  const port = parentPort;
  const opened = attemptOpen(path);
  const answering = new Set<Promise<void>>();
  port?.on("message", (message: unknown) => {
    const request = check(requestMessage, message, "request to the store's thread", "assert.broken");
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

async function answer(opened: Promise<Engine>, request: RequestMessage): Promise<AnswerMessage> {
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
