// A person at the serial line shows who they are by a signature that is made elsewhere: no password on the device, no network between device and laptop.
import type { KeyHolder } from "../lab/counterparts/operator-keys.ts";
import type { Say } from "./narrate.ts";
import { must } from "./proof.ts";
import type { Terminal } from "./terminal.ts";
import type { World } from "./world.ts";

/** After the first refused answer the next is taken a second later. [CON-5] */
const DELAY_MS = 1100;
const CHALLENGE = /sp1\/console\.login\/[A-Za-z0-9._/-]+/u;

export async function logIn({ rig, technician }: World, terminal: Terminal, say: Say): Promise<void> {
  await terminal.type("\r");
  await terminal.until(/> $/u);
  await terminal.type("audit tail 3\r");
  const guest = await terminal.until(/> $/u);
  must(!/operation\.allowed|tunnel\.connected/u.test(guest), `a guest is not shown the audit trail:\n${guest}`);
  await terminal.type("login\r");
  const shown = await terminal.until(/answer> $/u);
  const [challenge = ""] = CHALLENGE.exec(shown) ?? [];
  must(challenge !== "", `the console shows a challenge:\n${shown}`);
  say("challenge", challenge);

  await answer(rig, terminal, challenge, rig.confirmer);
  const refused = await terminal.until(/answer> $/u);
  must(/order\.bad-signature/u.test(refused), `a key that is no operator's is refused:\n${refused}`);
  say("another key", refused.trim().split("\n").slice(1, 2).join(""));
  await new Promise((resolve) => setTimeout(resolve, DELAY_MS));
  await answer(rig, terminal, challenge, technician);
  const accepted = await terminal.until(/(?:answer)?> $/u);
  must(accepted.includes(`Logged in as ${technician.id}`), `the console knows ${technician.id}:\n${accepted}`);
  say("her key", /Logged in as .*/u.exec(accepted)?.[0] ?? "");
  await terminal.type("status\r");
  const status = await terminal.until(/trouble[\s\S]*> $/u);
  must(/CONNECTED/u.test(status) && !/withheld/u.test(status), `she sees the whole status:\n${status}`);
  say("status", inner(status));
  await terminal.type("audit tail 5\r");
  const tail = await terminal.until(/\n[^\n]*> $/u);
  must(/login\.accepted/u.test(tail), `the last audit records tell of her login:\n${tail}`);
  say("audit tail 5", inner(tail));
  await terminal.type("logout\r");
  must((await terminal.until(/new session/u)).includes(`${technician.id} is logged out`), "the session is hers no longer");
}

/** What `sallyport-hub answer` prints on a laptop, pasted into the console. */
async function answer(rig: World["rig"], terminal: Terminal, challenge: string, { keyFile }: KeyHolder): Promise<void> {
  await terminal.type(`${(await rig.hub.command("answer", challenge, "--key", keyFile)).trim()}\r`);
}

/** What was answered: without the typed line and the prompt. */
function inner(text: string): string {
  return text.split("\n").slice(1, -1).join("\n").trimEnd();
}
