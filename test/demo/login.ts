// A login on the serial line by challenge and signature: no password on the device, no network
// between device and laptop.
import type { KeyHolder } from "../lab/counterparts/operator-keys.ts";
import type { StepReport } from "./narrate.ts";
import { must } from "./proof.ts";
import type { Terminal } from "./terminal.ts";
import type { World } from "./world.ts";

/** After a refused answer the console takes the next one a second later. [CON-5] */
const DELAY_MS = 1100;
const CHALLENGE = /sp1\/console\.login\/[A-Za-z0-9._/-]+/u;

export async function logIn({ rig, technician }: World, terminal: Terminal, report: StepReport): Promise<void> {
  await terminal.type("\r");
  await terminal.until(/> $/u);
  await terminal.type("audit tail 3\r");
  const guest = await terminal.until(/> $/u);
  must(!/operation\.allowed|tunnel\.connected/u.test(guest), `a guest is not shown the audit trail:\n${guest}`);
  await terminal.type("login\r");
  const shown = await terminal.until(/answer> $/u);
  const [challenge = ""] = CHALLENGE.exec(shown) ?? [];
  must(challenge !== "", `the console shows a challenge:\n${shown}`);
  report.evidence("challenge", challenge);

  await answer(rig, terminal, challenge, rig.confirmer);
  const refused = await terminal.until(/answer> $/u);
  must(/order\.bad-signature/u.test(refused), `a key that is no operator's is refused:\n${refused}`);
  report.evidence("another key", refused.trim().split("\n").slice(1, 2).join(""));
  await new Promise((resolve) => setTimeout(resolve, DELAY_MS));
  await answer(rig, terminal, challenge, technician);
  const accepted = await terminal.until(/(?:answer)?> $/u);
  must(accepted.includes(`Logged in as ${technician.id}`), `the console knows ${technician.id}:\n${accepted}`);
  report.evidence("own key", /Logged in as .*/u.exec(accepted)?.[0] ?? "");
  await terminal.type("status\r");
  const status = await terminal.until(/trouble[\s\S]*> $/u);
  must(/CONNECTED/u.test(status) && !/withheld/u.test(status), `a technician sees the whole status:\n${status}`);
  report.evidence("status", inner(status));
  await terminal.type("audit tail 5\r");
  const tail = await terminal.until(/\n[^\n]*> $/u);
  must(/login\.accepted/u.test(tail), `the last audit records show the login:\n${tail}`);
  report.evidence("audit tail 5", inner(tail));
  await terminal.type("logout\r");
  must((await terminal.until(/new session/u)).includes(`${technician.id} is logged out`), "the session has ended");
  report.held(
    "login",
    "a signature by a key outside the roster is refused, the technician's own key logs in",
    "a key outside the roster was refused",
  );
}

/** What `sallyport-hub answer` prints on a laptop, pasted into the console. */
async function answer(rig: World["rig"], terminal: Terminal, challenge: string, { keyFile }: KeyHolder): Promise<void> {
  await terminal.type(`${(await rig.hub.command("answer", challenge, "--key", keyFile)).trim()}\r`);
}

/** What was answered: without the typed line and the prompt. */
function inner(text: string): string {
  return text.split("\n").slice(1, -1).join("\n").trimEnd();
}
