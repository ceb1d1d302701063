// `sallyport-hub order`, `lockdown confirm`, `lockdown revert`: changes of a device, signed with an
// operator's key. The hub only transports them, and the signer sees what they are about. [OPS-7]
// [OPS-9] [OPS-26] [OPS-27] [LCK-12] [LCK-20]
import { join } from "node:path";
import * as v from "valibot";
import { OPERATIONS, type OperationName } from "../../agent/operations/format.ts";
import { asFault, Fault } from "../../hal/fault.ts";
import type { JsonValue } from "../../hal/format/json.ts";
import { printableJson } from "../../hal/format/text.ts";
import { check, tryCheck } from "../../hal/format/schema.ts";
import type { DeviceId } from "../../hal/format/identity.ts";
import { planHashSchema, readOrderUnverified } from "../../warden/orders/format/index.ts";
import { ORDER_HOLD_MS, type OrderRequest, pastedLine, signRequest, withUpgradePlan } from "../../warden/order-subject/format.ts";
import { pendingTrial, readKey } from "../orders/index.ts";
import type { Answered } from "../outbox/index.ts";
import { REPOSITORY_DIRECTORY } from "../state/index.ts";
import type { JournalDetail } from "../store/index.ts";
import { readOrder } from "./answer-text.ts";
import { type HubCommand, type Given, JSON_OPTION, STATE_OPTION, type HubTerminal } from "./command.ts";
import { EVIDENCE_HELP, EVIDENCE_OPTIONS, EVIDENCE_USAGE, showAndAsk } from "./evidence.ts";
import { KEY_OPTION } from "./keys.ts";
import { deviceIdOf, type Opened, stateOf, typed, withState } from "./state.ts";
import { askDevice, poll, printAnswer, WAIT_OPTION, waitMsOf } from "./poll.ts";

const OPTIONS = {
  ...STATE_OPTION,
  ...JSON_OPTION,
  ...KEY_OPTION,
  ...WAIT_OPTION,
  ...EVIDENCE_OPTIONS,
  reason: { type: "string" },
} as const;

/** Verbs of orders that an operation of the same name accepts. */
const verbSchema = v.picklist([
  "system.reboot",
  "system.wipe",
  "update.approve",
  "update.revert",
  "lockdown.confirm",
  "lockdown.revert",
  "key.upgrade",
]);
type Verb = v.InferOutput<typeof verbSchema>;

export const order: HubCommand = {
  name: "order",
  usage: `order ID VERB --key FILE [--reason TEXT] ${EVIDENCE_USAGE} [--wait 30s] [--state DIR] [--json] | order ID VERB --print | order ID --answer FILE`,
  help: `Gives a device an order. VERB: ${verbSchema.options.join(", ")}. --print asks the device for a nonce and prints a request; sallyport-release answer signs it on the operator's own machine; --answer sends the result (- reads it from standard input). --key does all three steps here, which takes the operator's key to the hub: only for test set-ups. ${EVIDENCE_HELP} The device checks the key against its roster. The reason goes into its audit trail.`,
  options: { ...OPTIONS, print: { type: "boolean" }, answer: { type: "string" } },
  args: ["ID", "VERB?"],
  run: async (given, terminal) =>
    withState(given, async (opened) => {
      const deviceId = deviceIdOf(given);
      const answer = given.optionalText("answer");
      if (answer !== undefined) return await sendAnswer(opened, given, terminal, deviceId, answer);
      const verb = typed(verbSchema, given.optionalArg("VERB?") ?? "", "VERB");
      const keyFile = given.flag("print") ? undefined : given.text("key");
      const key = keyFile === undefined ? undefined : readKey(keyFile);
      const asked = await askDevice(opened, terminal, deviceId, "order.nonce", { verb }, waitMsOf(given), { verb });
      if (asked.state !== "answered") return await printAnswer(given, terminal, opened, asked);
      const said = check(OPERATIONS["order.nonce"].result, asked.result, `nonce of "${deviceId}"`);
      if (said.deviceId !== deviceId)
        throw new Fault("order.invalid", `sign for "${deviceId}": it reports the id "${said.deviceId}"`);
      const request = await withPlans(opened, given, terminal, {
        v: 1,
        kind: "order-request",
        deviceId,
        verb,
        nonce: said.nonce,
        ...(said.planHash === undefined ? {} : { planHash: said.planHash }),
      });
      if (key === undefined) return printRequest(terminal, request);
      return await signAndSend(opened, given, terminal, request, key);
    }),
};

export const lockdownConfirm = trialCommand(
  "lockdown.confirm",
  "Confirms the policy that a device is trying, after it has connected again under that policy; waits for the connection if necessary. The key must be one of the policy's confirmKeys.",
);
export const lockdownRevert = trialCommand(
  "lockdown.revert",
  "Reverts the policy that a device is trying before its trial expires. The key must be one of the policy's confirmKeys.",
);

function trialCommand(verb: Verb, help: string): HubCommand {
  const name = verb.replace(".", " ");
  return {
    name,
    usage: `${name} ID --key FILE [--plan HASH] [--yes] [--reason TEXT] [--wait 30s] [--state DIR] [--json]`,
    help: `${help} What the policy opens and closes is shown first; --yes says that you have read it, for scripts. With --plan, only that plan is accepted.`,
    options: { ...OPTIONS, plan: { type: "string" } },
    args: ["ID"],
    run: async (given, terminal) =>
      withState(given, async (opened) => {
        const deviceId = deviceIdOf(given);
        const plan = planOf(given);
        const key = readKey(given.text("key"));
        const trial = await poll(() => pendingTrial(opened.store, deviceId, Date.now()), waitMsOf(given), terminal.stop);
        if (trial === undefined)
          throw new Fault(
            "hub.no-answer",
            `${name} "${deviceId}": it has reported no policy on trial, or the trial has expired; run sallyport-hub ask ${deviceId} lockdown.show to see the policy in force`,
          );
        const { planHash, nonce } = trial;
        if (plan !== undefined && plan !== planHash)
          throw new Fault("lockdown.not-pending", `${name} "${deviceId}": it is trying ${planHash}, not ${plan}`);
        const request = { v: 1, kind: "order-request", deviceId, verb, nonce, planHash } as const;
        return await signAndSend(opened, given, terminal, await withPlans(opened, given, terminal, request), key);
      }),
  };
}

/**
 * [LCK-20] [ID-57] Adds the plan that an order over a policy on trial, or over a reset, is about,
 * as the device sends it, or that of a key upgrade.
 */
async function withPlans(opened: Opened, given: Given, terminal: HubTerminal, request: OrderRequest): Promise<OrderRequest> {
  if (request.verb === "key.upgrade") return await withUpgrade(opened, given, terminal, request);
  if (request.verb === "system.wipe") {
    const asked = await askDevice(opened, terminal, request.deviceId, "reset.plan", {}, waitMsOf(given));
    const plan = asked.state === "answered" ? tryCheck(OPERATIONS["reset.plan"].result, asked.result)?.plan : undefined;
    return { ...request, ...(plan === undefined ? {} : { plan }) };
  }
  if (!request.verb.startsWith("lockdown.")) return request;
  const plan = await planFrom(opened, given, terminal, request.deviceId, "now");
  const before = await planFrom(opened, given, terminal, request.deviceId, "before-trial");
  return { ...request, ...(plan === undefined ? {} : { plan }), ...(before === undefined ? {} : { before }) };
}

/** [ID-65] The upgrade, found from the fingerprint that the device reports and the signer reads. */
async function withUpgrade(opened: Opened, given: Given, terminal: HubTerminal, request: OrderRequest): Promise<OrderRequest> {
  const asked = await askDevice(opened, terminal, request.deviceId, "status", {}, waitMsOf(given));
  const key = asked.state === "answered" ? tryCheck(OPERATIONS.status.result, asked.result)?.key : undefined;
  return key === undefined ? request : withUpgradePlan(request, key.fingerprint);
}

async function planFrom(opened: Opened, given: Given, terminal: HubTerminal, deviceId: DeviceId, of: "now" | "before-trial") {
  const operation = "lockdown.enforced" satisfies OperationName;
  const asked = await askDevice(opened, terminal, deviceId, operation, { of }, waitMsOf(given));
  if (asked.state !== "answered") return undefined;
  return tryCheck(OPERATIONS[operation].result, asked.result)?.plan;
}

function printRequest(terminal: HubTerminal, request: OrderRequest): number {
  const { deviceId, verb, nonce, planHash } = request;
  terminal.err(
    `device  ${deviceId}\nverb    ${verb}\nnonce   ${nonce}\nabout   ${planHash ?? "nothing but the device"}\nSign the line below on your own machine within minutes:\n  sallyport-release answer REQUEST --key FILE --root FILE --repository DIR > answer\nThen run here:\n  sallyport-hub order ${deviceId} --answer answer`,
  );
  terminal.out(printableJson(request));
  return 0;
}

/** [OPS-27] Sends an order that was signed elsewhere. */
async function sendAnswer(
  opened: Opened,
  given: Given,
  terminal: HubTerminal,
  deviceId: DeviceId,
  file: string,
): Promise<number> {
  const text = pastedLine(await readOrder(file, process.stdin));
  const { order: signed, keyid } = readAnswer(file, text);
  if (signed.deviceId !== deviceId)
    throw new Fault("order.invalid", `send "${file}" to "${deviceId}": it was signed for "${signed.deviceId}"`);
  const verb = typed(verbSchema, signed.verb, "VERB");
  const wanted = given.optionalArg("VERB?");
  if (wanted !== undefined && wanted !== verb)
    throw new Fault("order.invalid", `send "${file}" as ${wanted}: it was signed for ${verb}`);
  const { planHash, reason } = signed;
  return await send(opened, given, terminal, deviceId, verb, text, { keyid, planHash, reason });
}

function readAnswer(file: string, text: string): ReturnType<typeof readOrderUnverified> {
  try {
    return readOrderUnverified(text);
  } catch (error) {
    const { message } = asFault(error, "order.invalid", `read --answer "${file}"`);
    const hint = "expected the whole line that sallyport-release answer printed";
    throw new Fault("order.invalid", `${message}; ${hint}`, { cause: error });
  }
}

async function signAndSend(
  opened: Opened,
  given: Given,
  terminal: HubTerminal,
  request: OrderRequest,
  key: ReturnType<typeof readKey>,
): Promise<number> {
  const verb = typed(verbSchema, request.verb, "VERB");
  await showAndAsk(given, terminal, request, join(stateOf(given), REPOSITORY_DIRECTORY));
  terminal.err(
    "The key was read on this machine. Keys of real operators stay off the hub: order --print, then sallyport-release answer.",
  );
  const reason = given.optionalText("reason");
  const signed = signRequest(request, key, reason, Date.now() + ORDER_HOLD_MS);
  const detail = { keyid: key.keyid, planHash: request.planHash, reason };
  return await send(opened, given, terminal, request.deviceId, verb, signed, detail);
}

async function send(
  opened: Opened,
  given: Given,
  terminal: HubTerminal,
  deviceId: DeviceId,
  verb: Verb,
  signed: string,
  detail: JournalDetail,
): Promise<number> {
  const args: JsonValue = { order: signed };
  const answered: Answered = await askDevice(opened, terminal, deviceId, verb, args, waitMsOf(given), detail);
  return await printAnswer(given, terminal, opened, answered);
}

function planOf(given: Given): string | undefined {
  const plan = given.optionalText("plan");
  return plan === undefined ? undefined : typed(planHashSchema, plan, "--plan");
}
