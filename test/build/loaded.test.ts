// What of Node the device's programs load when they start: some of its modules cost more memory
// than our own code.
import { spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "tap";
import { bundleDevice, PROGRAMS } from "../../build/bundle.ts";
import { filesLoaded } from "../lab/runner/files-loaded.ts";
import { temporaryDirectory } from "../lab/runner/temporary.ts";

/** undici is Node's HTTP client for fetch and WebSocket; loading it takes 10 MB. */
const TOO_LARGE = "NativeModule internal/deps/undici/undici";

/** Imports the modules as an ES module does, which evaluates all of their exports. */
function loadedBy(modules: readonly string[]): readonly string[] {
  const script = `${modules.map((name) => `import "${name}";`).join("")}console.log(process.moduleLoadList.join("\\n"));`;
  const { stdout } = spawnSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" });
  return stdout.split("\n");
}

test("no program of the device loads undici with its imports", async (t) => {
  t.ok(loadedBy(["node:http"]).includes(TOO_LARGE), "node:http does, so this test can see it");
  const directory = await temporaryDirectory(t);
  await bundleDevice(directory);
  for (const { name } of PROGRAMS.filter(({ onDevice }) => onDevice !== undefined)) {
    const files = await filesLoaded(join(directory, name, "main.js"));
    const text = (await Promise.all(files.map((file) => readFile(file, "utf8")))).join("\n");
    const modules = [...text.matchAll(/from"(node:[a-z/_]+)"/gu)].map(([, module = ""]) => module);
    t.ok(modules.length > 3, `${name} imports modules of Node`);
    t.notOk(loadedBy([...new Set(modules)]).includes(TOO_LARGE), name);
  }
});
