import { test } from "tap";
import { Fault } from "../../../../hal/fault.ts";
import { createLastKnown } from "../../../../hal/linux/usb/last-known.ts";

test("[LCK-8] a device that is unplugged is forgotten, so that only devices of the tree are remembered", async (t) => {
  const lastKnown = createLastKnown<number>();
  const busy = (): Promise<never> => Promise.reject(new Fault("usb.busy", "busy"));
  for (const key of ["1-1=2", "1-2=3"]) await lastKnown.readOrRecall(key, async () => 7);
  lastKnown.retain(new Set(["1-2=3"]));
  t.strictSame([await lastKnown.readOrRecall("1-1=2", busy), await lastKnown.readOrRecall("1-2=3", busy)], [undefined, 7]);
});

test("[LCK-8] only a busy kernel is answered for from the last known values", async (t) => {
  const lastKnown = createLastKnown<number>();
  await lastKnown.readOrRecall("1-1=2", async () => 7);
  const defect = new RangeError("no");
  await t.rejects(
    lastKnown.readOrRecall("1-1=2", () => Promise.reject(defect)),
    defect,
  );
});
