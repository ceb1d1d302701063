// A thread of the hub's store that ends like one that ran out of memory: when a file `PATH.end`
// exists.
import { existsSync, rmSync } from "node:fs";
import { workerData } from "node:worker_threads";
import * as v from "valibot";
import "../../../hub/store/thread.ts";

const { path } = v.parse(v.object({ path: v.string() }), workerData);
setInterval(() => {
  if (!existsSync(`${path}.end`)) return;
  rmSync(`${path}.end`);
  process.exit(1);
}, 5);
