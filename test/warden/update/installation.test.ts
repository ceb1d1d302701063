// A job that is aborted, and the next one started while its installer is still ending: a process
// that waits for a disk does not die at once.
import { test } from "tap";
import { linuxClock } from "../../../hal/linux/index.ts";
import type { ChildProgram } from "../../../hal/ports.ts";
import { Installation } from "../../../warden/update/installation.ts";

test("[OTA-33] [OTA-41] an installer starts only when the one before it is gone, so two never write one slot", async (t) => {
  const started: PromiseWithResolvers<string>[] = [];
  const installer = async (): Promise<ChildProgram> => {
    const end = Promise.withResolvers<string>();
    started.push(end);
    const lines = async function* (): AsyncGenerator<string> {
      yield JSON.stringify({ said: "ready" });
      await end.promise;
    };
    return { lines: lines(), ended: end.promise, tell: async () => undefined, kill: async () => void (await end.promise) };
  };
  const installation = new Installation({ installer, clock: linuxClock() }, async () => undefined);
  const release = { target: "os/gateway-2", digest: "2".repeat(64), line: "os", counter: 2, floorAfterCommit: 1 };
  const index = { path: `indexes/${"3".repeat(64)}.caibx`, bytes: 100, sha256: "3".repeat(64) };
  const begin = (): void => {
    installation.plan(release, [{ part: { part: "root", bytes: 1000, index }, chunks: 3 }]);
    installation.start(release, "b");
  };
  begin();
  await installation.ready();
  const aborted = installation.abort();
  begin();
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.equal(started.length, 1, "not before the first one is gone");
  started[0]?.resolve("SIGKILL");
  await aborted;
  await installation.ready();
  t.equal(started.length, 2);
  started[1]?.resolve("SIGKILL");
  await installation.abort();
});
