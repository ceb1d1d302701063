// The results of operations as text for the console. Pure.
import { check } from "../../hal/format/schema.ts";
import { type OperationName, type OperationResult, OPERATIONS } from "../operations/format.ts";
import {
  serialJson,
  renderIdentity,
  renderLockdown,
  renderResetPlan,
  renderStatus,
  renderTail,
  renderUpdate,
  renderUpgrade,
  SCREEN_COLUMNS_MAX,
  WIPING,
} from "../status/index.ts";
import type { OperationAction } from "./commands.ts";
import { LIST_LINES_MAX } from "./limits.ts";

/**
 * @param result the result of `action`, as the operations answered it.
 * @throws Fault `schema.invalid` when it does not fit the table of operations.
 */
export function resultText(action: OperationAction, result: unknown): string {
  const checked = <N extends OperationName>(name: N): OperationResult<N> => check(OPERATIONS[name].result, result, name);
  if (action.kind === "ask" && action.show === "json") return `${serialJson(result)}\n`;
  switch (action.operation) {
    case "status":
      return renderStatus(checked("status"));
    case "identity.show":
      return renderIdentity(checked("identity.show"));
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
      return "This device restarts now.\n";
    case "key.upgrade":
      return renderUpgrade(checked("key.upgrade").grant);
    case "reset.plan":
      return renderResetPlan(checked("reset.plan"));
    case "system.wipe":
      return WIPING;
    case "lockdown.plan":
    case "lockdown.enforced":
    case "order.nonce":
      return `${serialJson(result)}\n`;
  }
}
