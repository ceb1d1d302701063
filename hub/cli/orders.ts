// `sallyport-hub order`, `lockdown confirm`, `lockdown revert`: changes of a device, signed with an
// operator's key. The hub only transports them. [OPS-7] [OPS-9] [LCK-12]
import * as v from "valibot";
import { OPERATIONS } from "../../agent/operations/format.ts";
import { Fault } from "../../hal/fault.ts";
import { check } from "../../hal/format/schema.ts";
import { type Challenge, planHashSchema } from "../../warden/orders/format/index.ts";
import { type OrderKey, pendingTrial, readKey, signedOrder } from "../orders/index.ts";
import type { Answered } from "../outbox/index.ts";
import { type HubCommand, type Given, JSON_OPTION, STATE_OPTION, type HubTerminal } from "./command.ts";
import { KEY_OPTION } from "./keys.ts";
import { deviceIdOf, type Opened, typed, withState } from "./state.ts";
import { askDevice, poll, printAnswer, WAIT_OPTION, waitMsOf } from "./poll.ts";

const OPTIONS = { ...STATE_OPTION, ...JSON_OPTION, ...KEY_OPTION, ...WAIT_OPTION, reason: { type: "string" } } as const;

/** Verbs of orders that an operation of the same name accepts. */
const verbSchema = v.picklist(["system.reboot", "update.approve", "update.revert", "lockdown.confirm", "lockdown.revert"]);
type Verb = v.InferOutput<typeof verbSchema>;

export const order: HubCommand = {
  name: "order",
  usage: "order ID VERB --key FILE [--reason TEXT] [--wait 30s] [--state DIR] [--json]",
  help: `Gives a device an order: asks it for a nonce, signs the order with the key, and sends it. VERB: ${verbSchema.options.join(", ")}. The device checks the key against its roster. The reason goes into its audit trail.`,
  options: OPTIONS,
  args: ["ID", "VERB"],
  run: async (given, terminal) =>
    withState(given, async (opened) => {
      const deviceId = deviceIdOf(given);
      const verb = typed(verbSchema, given.arg("VERB"), "VERB");
      const key = readKey(given.text("key"));
      const asked = await askDevice(opened, terminal, deviceId, "order.nonce", { verb }, waitMsOf(given), { verb });
      if (asked.state !== "answered") return printAnswer(given, terminal, opened, asked);
      const {
        nonce,
        planHash,
        deviceId: reported,
      } = check(OPERATIONS["order.nonce"].result, asked.result, `nonce of "${deviceId}"`);
      if (reported !== deviceId) throw new Fault("order.invalid", `sign for "${deviceId}": it reports the id "${reported}"`);
      const challenge = { verb, deviceId, nonce, ...(planHash === undefined ? {} : { planHash }) };
      return printAnswer(given, terminal, opened, await sendOrder(opened, given, terminal, challenge, verb, key));
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
    usage: `${name} ID --key FILE [--plan HASH] [--reason TEXT] [--wait 30s] [--state DIR] [--json]`,
    help: `${help} With --plan, only that plan is accepted.`,
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
        return printAnswer(
          given,
          terminal,
          opened,
          await sendOrder(opened, given, terminal, { verb, deviceId, nonce, planHash }, verb, key),
        );
      }),
  };
}

async function sendOrder(
  opened: Opened,
  given: Given,
  terminal: HubTerminal,
  challenge: Challenge,
  verb: Verb,
  key: OrderKey,
): Promise<Answered> {
  const reason = given.optionalText("reason");
  const signed = signedOrder(challenge, key, reason, Date.now());
  const detail = { keyid: key.keyid, planHash: challenge.planHash, reason };
  return askDevice(opened, terminal, challenge.deviceId, verb, { order: signed }, waitMsOf(given), detail);
}

function planOf(given: Given): string | undefined {
  const plan = given.optionalText("plan");
  return plan === undefined ? undefined : typed(planHashSchema, plan, "--plan");
}
