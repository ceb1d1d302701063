// A thread of the hub's store that ends like one that ran out of memory: when a file `PATH.end`
// exists. Of several threads the one that removes the file ends.
import { rmSync } from "node:fs";
import { errnoOf } from "../../../hal/linux/files/index.ts";
import { workerData } from "node:worker_threads";
import * as v from "valibot";
import "../../../hub/store/thread.ts";

const { path } = v.parse(v.object({ path: v.string() }), workerData);
setInterval(() => {
  try {
    rmSync(`${path}.end`);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return;
    throw error;
  }
  process.exit(1);
}, 5);
