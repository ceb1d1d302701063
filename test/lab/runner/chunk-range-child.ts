// A thread of a program that installs. Text "die" as a chunk's id makes it end, as a thread does that runs out of memory.
import { serveThread } from "../../../hal/linux/threads/index.ts";
import { rangeWork } from "../../../ota/index/index.ts";

serveThread((job) => {
  if (job.texts.includes("die")) process.exit(7);
  return rangeWork(job);
});
