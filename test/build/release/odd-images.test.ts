// What may lie in the place of an image that is cut into chunks.
import { execFileSync } from "node:child_process";
import { truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "tap";
import { addImage } from "../../../build/release/image.ts";
import { temporaryDirectory } from "../../lab/runner/temporary.ts";
import { FOR_ALL, openReleaseTool } from "../../lab/worlds/release-tool.ts";

test("[STA-32] a pipe, a device, a directory and an endless file in the place of an image are refused before they are read", async (t) => {
  const directory = await temporaryDirectory(t);
  const tool = await openReleaseTool(join(directory, "release"));
  const pipe = join(directory, "pipe");
  execFileSync("mkfifo", [pipe]);
  const huge = join(directory, "huge");
  writeFileSync(huge, "");
  truncateSync(huge, 100 * 2 ** 30);
  const kernel = join(directory, "kernel");
  writeFileSync(kernel, "kernel");
  for (const [root, message] of [
    [pipe, /not a regular file/],
    ["/dev/zero", /not a regular file/],
    [directory, /not a regular file/],
    [huge, /more than \d+ bytes/],
  ] as const) {
    const parts = new Map([
      ["root", root],
      ["kernel", kernel],
    ] as const);
    await t.rejects(addImage(tool.directory, "os/gateway-1.json", parts, { line: "os", ...FOR_ALL }), { message }, root);
  }
});
