// The width of the console's texts.
import { test } from "tap";
import * as challenge from "../../../agent/console/challenge-screen.ts";
import * as screen from "../../../agent/console/screen.ts";
import { OPERATOR_ROLES } from "../../../warden/roster/format.ts";
import { deviceId } from "../../lab/worlds/operations.ts";

const HOST = { program: "p".repeat(100), deviceId: deviceId("g".repeat(64)) };
const LOGIN = { id: "i".repeat(64), roles: OPERATOR_ROLES, keyid: "ab".repeat(32) };

test("[CON-11] every text of the console is ASCII and fits 79 columns", async (t) => {
  const texts = [
    screen.hintText(HOST),
    screen.bannerText(HOST),
    screen.helpText(undefined),
    screen.helpText(LOGIN),
    screen.welcomeText(LOGIN),
    screen.alreadyText(LOGIN),
    screen.unknownText("x".repeat(256)),
    screen.unknownText("\u001b é ".repeat(50)),
    screen.tooLongText(),
    screen.tooManyText(1_000),
    screen.idleText(600_000, undefined),
    screen.idleText(300_000, LOGIN),
    screen.logoutText(undefined),
    screen.logoutText(LOGIN),
    screen.faultText({ code: "operation.denied", message: "a message ".repeat(60) }),
    challenge.noAnswerYetText(),
    challenge.tooEarlyText(60_000),
    challenge.tooManyChallengesText(60_000),
    challenge.namelessText(),
    challenge.unjudgedText("protocol.unknown-verb"),
    challenge.nextAnswerText(60_000),
    challenge.newChallengeText("lockdown confirm"),
    challenge.NO_ANSWER.text,
  ];
  for (const code of ["order.invalid", "order.bad-signature", "order.denied", "order.expired", "order.replayed"] as const)
    texts.push(challenge.refusalOf(code, 0)?.text ?? "missing");
  t.notOk(texts.includes("missing"));
  for (const text of texts) {
    t.match(text, /^[\x20-\x7e\n]+$/u);
    for (const line of text.split("\n")) t.ok(line.length <= 79, `${line.length} columns: ${line}`);
  }
});
