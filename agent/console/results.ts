// Answers of operations as the console shows them. Pure.
import { check } from "../../hal/format/schema.ts";
import { type OperationName, type OperationResult, OPERATIONS } from "../operations/format.ts";
import { plainJson, renderLockdown, renderStatus, renderTail, renderUpdate, SCREEN_COLUMNS_MAX } from "../status/index.ts";
import type { ConsoleAction } from "./commands.ts";
import { LIST_LINES_MAX } from "./limits.ts";

/** @param result what came of `deed`, checked once more by the table. */
export function resultText(deed: Extract<ConsoleAction, { operation: OperationName }>, result: unknown): string {
  const checked = <N extends OperationName>(name: N): OperationResult<N> => check(OPERATIONS[name].result, result, name);
  if (deed.kind === "ask" && deed.show === "json") return `${plainJson(result)}\n`;
  switch (deed.operation) {
    case "status":
      return renderStatus(checked("status"));
    case "audit.tail":
      return renderTail(checked("audit.tail"), SCREEN_COLUMNS_MAX);
    case "update.status":
    case "update.approve":
    case "update.revert":
      return renderUpdate(checked("update.status"));
    case "lockdown.show":
    case "lockdown.confirm":
    case "lockdown.revert":
      return renderLockdown(checked("lockdown.show"), LIST_LINES_MAX);
    case "system.reboot":
      return "This device starts anew now.\n";
    case "lockdown.plan":
    case "order.nonce":
      return `${plainJson(result)}\n`;
  }
}
