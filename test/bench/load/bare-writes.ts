// The peer of audit-log: write and fdatasync only. Arguments: file, bytes per record, `blocking` or
// `promises`.
import { fdatasyncSync, writeSync } from "node:fs";
import { open } from "node:fs/promises";
import { serveRounds } from "./rounds.ts";

const [path = "", bytes = "", how = ""] = process.argv.slice(2);
const file = await open(path, "a", 0o600);
const record = Buffer.alloc(Number(bytes), "x");

async function blocking(): Promise<void> {
  writeSync(file.fd, record);
  fdatasyncSync(file.fd);
}

async function promises(): Promise<void> {
  await file.write(record);
  await file.datasync();
}

serveRounds(async (count) => {
  const once = how === "promises" ? promises : blocking;
  for (let done = 0; done < count; done += 1) await once();
  return {};
});
