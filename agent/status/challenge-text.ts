// A challenge with instructions, for a person who has a laptop with a key and may never have done
// this before. Pure, ASCII. [CON-11] [CON-4]
import { type Challenge, challengeText } from "../../warden/orders/format/index.ts";

/** The command has a line of its own, so that it can be selected and copied as a whole. */
export function renderChallenge(challenge: Challenge): string {
  const { verb } = challenge;
  const trial = verb.startsWith("lockdown."); // the policy on trial says who may [LCK-12]
  const wipe = verb === "system.wipe"; // its plan is in no repository [ID-57]
  const needs = trial ? "by a confirm key of the policy on trial" : "by someone whose role may give it";
  const plan = wipe ? " --plan PLAN" : "";
  return [
    ...(verb === "console.login" ? [] : [`This needs an order "${verb}" ${needs}.`]),
    // [ID-65] only the hash is in the challenge
    ...(verb === "key.upgrade" ? ['Add --fingerprint and that of the present key, as "status" shows it, to the command.'] : []),
    `${trial ? "Before the trial ends" : "Within 15 minutes"}, run this on the laptop that has ${verb === "console.login" ? "your" : "the"} key (FILE)${wipe ? ' and the plan that "wipe plan" prints (PLAN)' : ""}:`,
    "",
    `sallyport-hub answer ${challengeText(challenge)} --key FILE${plan}`,
    "",
    "",
  ].join("\n");
}
