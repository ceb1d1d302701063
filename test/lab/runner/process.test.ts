// Programs that tests start end with the test's process.
import { test } from "tap";
import { readKernelFile } from "../../../hal/linux/files/index.ts";
import { needs } from "./needs.ts";
import { eventually, startProgram } from "./process.ts";

const STARTER = `
import { startProgram } from "${new URL("process.ts", import.meta.url).href}";
const uid = process.argv[1] === "same" ? {} : { uid: Number(process.argv[1]) };
const program = startProgram({ name: "sleep", command: "sh", args: ["-c", "echo up; exec sleep 600"], endsWithUs: true, ...uid });
await program.line(/up/u);
console.log("pid " + program.pid);
`;

async function isSleeping(pid: number): Promise<boolean> {
  return (await readKernelFile(`/proc/${pid}/comm`, 64)) === "sleep\n";
}

for (const uid of ["same", "65534"])
  test(
    `a program that must end with this process does, however that ends: user ${uid}`,
    { skip: uid === "same" ? false : needs("root") },
    async (t) => {
      const args = ["--input-type=module", "--eval", STARTER, uid];
      const starter = startProgram({ name: "starter", command: process.execPath, args });
      const pid = Number((await starter.line(/^pid \d+$/u)).slice(4));
      t.teardown(async () => {
        if (await isSleeping(pid)) process.kill(pid, "SIGKILL");
      });
      await eventually("it sleeps", async () => ((await isSleeping(pid)) ? true : undefined));
      await starter.stop("SIGKILL");
      await eventually("it is gone", async () => ((await isSleeping(pid)) ? undefined : true));
      t.notOk(await isSleeping(pid));
    },
  );
