// A process that appends to an audit log until it is killed: node audit-child.ts <directory>. It
// prints the number of every record that was acknowledged.
import { linuxAppendFiles, linuxClock, linuxFiles } from "../../../hal/linux/index.ts";
import { openAuditLog } from "../../../warden/audit/index.ts";
import { BOOT_ID, DEVICE_ID, entryOf } from "../worlds/audit.ts";

const CALLERS = 3;

async function appendForEver(directory: string): Promise<void> {
  const log = await openAuditLog({
    files: await linuxAppendFiles(`${directory}/audit`),
    state: await linuxFiles(`${directory}/state`),
    clock: linuxClock(),
    bootId: BOOT_ID,
    deviceId: DEVICE_ID,
    clockSynced: () => false,
    witness: undefined,
  });
  if (log.tampered !== undefined) process.stdout.write(`tampered: ${log.tampered.message}\n`);
  const caller = async (): Promise<never> => {
    for (let mark = 0; ; mark++) process.stdout.write(`${await log.append(entryOf(mark))}\n`);
  };
  await Promise.all(Array.from({ length: CALLERS }, caller));
}

await appendForEver(process.argv[2] ?? "");
