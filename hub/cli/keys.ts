// `sallyport-hub keygen`, `answer`: operators' keys, and the answer to a device that can ask only
// on its console. [CON-4]
import * as v from "valibot";
import { asFault, Fault } from "../../hal/fault.ts";
import { parseJson } from "../../hal/format/json.ts";
import { tryCheck } from "../../hal/format/schema.ts";
import { printableJson } from "../../hal/format/text.ts";
import { ORDER_HOLD_MS, ORDER_REQUEST_BYTES_MAX, type OrderRequest, withUpgradePlan } from "../../warden/order-subject/format.ts";
import { answerText, parseChallenge } from "../../warden/orders/format/index.ts";
import { makeKey, readKey } from "../orders/index.ts";
import { readRepositoryFile } from "../repository/index.ts";
import { type Given, type HubCommand, JSON_OPTION } from "./command.ts";
import { EVIDENCE_HELP, EVIDENCE_OPTIONS, EVIDENCE_USAGE, showAndAsk } from "./evidence.ts";
import { fingerprintOf } from "./state.ts";

export const KEY_OPTION = { key: { type: "string" } } as const;

export const keygen: HubCommand = {
  name: "keygen",
  usage: "keygen FILE [--json]",
  help: "Makes an operator's Ed25519 key that only its owner can read. The printed public key goes into a roster's keys or a policy's confirmKeys. An existing file is never overwritten.",
  options: { ...JSON_OPTION },
  args: ["FILE"],
  run: async (given, terminal) => {
    const file = given.arg("FILE");
    const { keyid, publicKey, remove } = await makeKey(file);
    if (given.flag("json")) terminal.out(printableJson({ file, keyid, publicKey }));
    else
      terminal.out(
        `key id      ${keyid}\npublic key  ${publicKey}\nPut the public key into a roster or a policy. ${file} stays with its owner.`,
      );
    try {
      await terminal.shown();
    } catch (error) {
      // Nobody has its public half, so nobody can use it.
      await remove();
      throw new Fault("file.write-failed", `${asFault(error, "file.write-failed", "show").message}; no key was made`, {
        cause: error,
      });
    }
    return 0;
  },
};

export const answer: HubCommand = {
  name: "answer",
  usage: `answer CHALLENGE --key FILE [--hold 300s] [--plan FILE | --fingerprint SHA256] ${EVIDENCE_USAGE} [--json]`,
  help: `Signs the challenge that a device shows on its console, and prints the one line to type there. The answer is valid for 5 minutes unless --hold says otherwise. This needs no hub. ${EVIDENCE_HELP} --plan is the plan of a policy on trial, as sallyport-hub ask ID lockdown.enforced --json prints it, or that of a factory reset, as wipe plan prints it on the device. --fingerprint is that of the device's present key, for key.upgrade.`,
  options: {
    ...JSON_OPTION,
    ...KEY_OPTION,
    ...EVIDENCE_OPTIONS,
    hold: { type: "string" },
    plan: { type: "string" },
    fingerprint: { type: "string" },
  },
  args: ["CHALLENGE"],
  run: async (given, terminal) => {
    const challenge = parseChallenge(given.arg("CHALLENGE"));
    const { privateKey, keyid } = readKey(given.text("key"));
    const plan = await planIn(given.optionalText("plan"));
    const request = { v: 1, kind: "order-request", ...challenge, ...(plan === undefined ? {} : { plan }) } as const;
    await showAndAsk(given, terminal, withUpgradeOf(request, given), undefined);
    const notAfterS = Math.floor((Date.now() + (given.duration("hold") ?? ORDER_HOLD_MS)) / 1000);
    const text = answerText(challenge, privateKey, keyid, notAfterS);
    const { verb, deviceId, planHash } = challenge;
    const notAfter = new Date(notAfterS * 1000).toISOString();
    if (given.flag("json")) terminal.out(printableJson({ answer: text, deviceId, verb, planHash, notAfter }));
    else {
      terminal.err(`valid until ${notAfter}:`);
      terminal.out(text);
    }
    return 0;
  },
};

/** [ID-65] The console shows the hash of an upgrade, and the signer knows the fingerprint. */
function withUpgradeOf(request: OrderRequest, given: Given): OrderRequest {
  const fingerprint = given.optionalText("fingerprint");
  if (request.verb !== "key.upgrade" || fingerprint === undefined) return request;
  return withUpgradePlan(request, fingerprintOf(fingerprint, "--fingerprint"));
}

/** The plan in a file: by itself, or in the answer of `lockdown.enforced`. */
async function planIn(file: string | undefined): Promise<unknown> {
  if (file === undefined) return undefined;
  const bytes = await readRepositoryFile(file, ORDER_REQUEST_BYTES_MAX);
  if (bytes === undefined) throw new Fault("usage.invalid", `--plan "${file}": there is no such file`);
  const value = parseJson(bytes, ORDER_REQUEST_BYTES_MAX, `--plan "${file}"`);
  const answered = tryCheck(v.object({ result: v.object({ plan: v.unknown() }) }), value);
  return answered === undefined ? value : answered.result.plan;
}
