// A directory for one test, removed with the test.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "./context.ts";

export async function temporaryDirectory(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "test-"));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  return directory;
}
