// Runs inside the virtual gateway as its only program: an audit log on a real file system. `append
// COUNT WIDTH [without-sync]` appends COUNT records, WIDTH of them in one write, and reports each;
// `check` opens the log again and says what it has.
import { constants } from "node:fs";
import { linuxAppendFiles, linuxFiles, linuxOps } from "../../../../hal/linux/files/index.ts";
import type { FileOps } from "../../../../hal/linux/files/ops.ts";
import { decodeAuditRecord } from "../../../../warden/audit/format/index.ts";
import { entryOf, openOn } from "../../worlds/audit.ts";

const [verb, count, width, how] = process.argv.slice(2);
const files = await linuxAppendFiles("/state/audit", how === "without-sync" ? withoutSync() : linuxOps);
const log = await openOn({ files, state: await linuxFiles("/state/audit-state") }, { limits: { reserveBytes: 98_304 } });
if (verb === "append") {
  for (let left = Number(count); left > 0; left -= Number(width)) {
    const numbers = await Promise.all(Array.from({ length: Number(width) }, (_, mark) => log.append(entryOf(mark))));
    for (const number of numbers) console.log(`appended ${number}.`);
  }
} else if (verb === "check") {
  const events: string[] = [];
  while (events.length < log.head.size)
    events.push(...(await log.read(events.length, 256)).map((record) => decodeAuditRecord(record).event));
  // what this start has recorded itself is not what was there
  const there = events.length - (events.at(-2) === "audit.recovered" ? 2 : 1);
  const recovered = events.filter((event) => event === "audit.recovered").length;
  console.log(`checked ${there} recovered ${recovered} ${log.tampered?.message ?? "sound"}.`);
}

function withoutSync(): FileOps {
  return { ...linuxOps, open: (path, flags, mode) => linuxOps.open(path, flags & ~constants.O_DSYNC, mode) };
}
