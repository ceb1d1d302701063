import { test } from "tap";
import { Fault } from "../../../../hal/fault.ts";
import { createMemory } from "../../../../hal/linux/usb/memory.ts";

test("[LCK-8] what is unplugged is forgotten: memory has no more than the tree", async (t) => {
  const memory = createMemory<number>();
  const busy = (): Promise<never> => Promise.reject(new Fault("usb.busy", "busy"));
  for (const key of ["1-1=2", "1-2=3"]) await memory.ask(key, async () => 7);
  memory.forgetOthers(new Set(["1-2=3"]));
  t.strictSame([await memory.ask("1-1=2", busy), await memory.ask("1-2=3", busy)], [undefined, 7]);
});

test("[LCK-8] memory answers for a busy kernel only", async (t) => {
  const memory = createMemory<number>();
  await memory.ask("1-1=2", async () => 7);
  const defect = new RangeError("no");
  await t.rejects(
    memory.ask("1-1=2", () => Promise.reject(defect)),
    defect,
  );
});
