// A thread of a program that installs. The chunk id "die" makes it end, like a thread that runs out
// of memory.
import { serveThread } from "../../../hal/linux/threads/index.ts";
import { rangeWork } from "../../../ota/index/index.ts";

serveThread((job) => {
  if (job.texts.includes("die")) process.exit(7);
  return rangeWork(job);
});
