// Rounds of audit events. Each event is durable before the next of its caller. Arguments:
// directory, number of concurrent callers.
import { openAuditLog } from "../../../warden/audit/index.ts";
import { linuxClock } from "../../../hal/linux/clock/index.ts";
import { linuxAppendFiles, linuxFiles } from "../../../hal/linux/files/index.ts";
import { inWindow, serveRounds } from "./rounds.ts";

const [directory = "", width = "1"] = process.argv.slice(2);
const log = await openAuditLog({
  files: await linuxAppendFiles(`${directory}/audit`),
  state: await linuxFiles(`${directory}/state`),
  clock: linuxClock(),
  bootId: "00000000-0000-4000-8000-000000000000",
  deviceId: "bench-1",
  clockSynced: () => true,
  witness: undefined,
});

const entry = {
  event: "operation.allowed",
  result: "ok",
  principal: "local-root",
  correlation: "00000000-0000-4000-8000-000000000000",
  detail: { operation: "status" },
} as const;

serveRounds(async (count) => {
  await inWindow(count, Number(width), async () => void (await log.append(entry)));
  return {};
});
