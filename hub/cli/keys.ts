// `sallyport-hub keygen`, `answer`: operators' keys, and the answer to a device that can ask only
// on its console. [CON-4]
import { printableJson } from "../../hal/format/text.ts";
import { answerText, parseChallenge } from "../../warden/orders/format/index.ts";
import { makeKey, ORDER_HOLD_MS, readKey } from "../orders/index.ts";
import { type HubCommand, JSON_OPTION } from "./command.ts";

export const KEY_OPTION = { key: { type: "string" } } as const;

export const keygen: HubCommand = {
  name: "keygen",
  usage: "keygen FILE [--json]",
  help: "Makes an operator's Ed25519 key that only its owner can read. The printed public key goes into a roster's keys or a policy's confirmKeys. An existing file is never overwritten.",
  options: { ...JSON_OPTION },
  args: ["FILE"],
  run: async (given, terminal) => {
    const file = given.arg("FILE");
    const { keyid, publicKey } = await makeKey(file);
    if (given.flag("json")) terminal.out(printableJson({ file, keyid, publicKey }));
    else
      terminal.out(
        `key id      ${keyid}\npublic key  ${publicKey}\nPut the public key into a roster or a policy. ${file} stays with its owner.`,
      );
    return 0;
  },
};

export const answer: HubCommand = {
  name: "answer",
  usage: "answer CHALLENGE --key FILE [--hold 300s] [--json]",
  help: "Signs the challenge that a device shows on its console, and prints the one line to type there. The answer is valid for 5 minutes unless --hold says otherwise. This needs no hub.",
  options: { ...JSON_OPTION, ...KEY_OPTION, hold: { type: "string" } },
  args: ["CHALLENGE"],
  run: (given, terminal) => {
    const challenge = parseChallenge(given.arg("CHALLENGE"));
    const { privateKey, keyid } = readKey(given.text("key"));
    const notAfterS = Math.floor((Date.now() + (given.duration("hold") ?? ORDER_HOLD_MS)) / 1000);
    const text = answerText(challenge, privateKey, keyid, notAfterS);
    const { verb, deviceId, planHash } = challenge;
    const notAfter = new Date(notAfterS * 1000).toISOString();
    if (given.flag("json")) terminal.out(printableJson({ answer: text, deviceId, verb, planHash, notAfter }));
    else {
      terminal.err(`${verb} on "${deviceId}"${planHash === undefined ? "" : ` of ${planHash}`}, until ${notAfter}:`);
      terminal.out(text);
    }
    return 0;
  },
};
