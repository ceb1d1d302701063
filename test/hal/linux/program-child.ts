// A program whose work fails or hangs while an open handle keeps its event loop alive.
import { Fault } from "../../../hal/fault.ts";
import { runMain } from "../../../hal/linux/index.ts";

const what = process.argv.pop();
setInterval(() => undefined, 1000);

await runMain(
  {
    name: "child",
    version: "0",
    purpose: "For a test.",
    configFile: "/dev/null",
    check: async () => ({}),
    live: async () => {
      if (what === "fails") throw new Fault("socket.listen-failed", "as planned");
      process.stderr.write("it hangs now\n");
      await new Promise<void>(() => undefined);
    },
  },
  { endMsMax: 100, stopMsMax: 100 },
);
