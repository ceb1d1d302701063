// `npm run gateway`: a whole gateway in an emulator beside a hub, its serial console in the user's hands. However it ends, nothing of it is left.
import { readFileSync, writeFileSync } from "node:fs";
import { asFault, Fault } from "../../hal/fault.ts";
import { lacking } from "../lab/runner/needs.ts";
import { createHand } from "./session.ts";
import { type Options, readOptions, USAGE } from "./options.ts";
import { createTeller } from "./narrator.ts";
import { openKeyboard } from "./terminal.ts";
import type { Site } from "../lab/gateway/site.ts";

/** 128 + the signal's number, as shells have it. */
const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;
const END_CHILDREN_EVERY_MS = 200;

process.exit(await main(process.argv.slice(2)));

async function main(argv: readonly string[]): Promise<number> {
  const options = read(argv);
  if (typeof options === "number") return options;
  if (options.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const why = whyNot();
  if (why === undefined) return run(options);
  process.stderr.write(`gateway: ${why}\n`);
  return 1;
}

function read(argv: readonly string[]): Options | number {
  try {
    return readOptions(argv);
  } catch (error) {
    process.stderr.write(`gateway: ${asFault(error, "usage.invalid", "read the command line").message}\n\n${USAGE}`);
    return 2;
  }
}

function whyNot(): string | undefined {
  if (process.getuid?.() !== 0)
    return "building the gateway's image needs root: a Debian system has files of many owners. Run it as root, such as in a container or a virtual machine of your own";
  return lacking("qemu", "swtpm", "image");
}

interface End {
  readonly exitCode: number;
  readonly why: string | undefined;
}

async function run(options: Options): Promise<number> {
  const interactive = process.stdin.isTTY && process.stdout.isTTY;
  const ended = Promise.withResolvers<End>();
  const end = (exitCode: number, why?: string): void => ended.resolve({ exitCode, why });
  const broken = (error: unknown): void => end(1, told(error));
  for (const [signal, exitCode] of Object.entries(SIGNALS)) process.on(signal, () => end(exitCode, "interrupted"));
  process.on("uncaughtException", broken);
  process.on("unhandledRejection", broken);
  process.stdout.on("error", () => end(SIGNALS.SIGHUP)); // nobody reads any more

  const teller = createTeller(process.stdout);
  const keyboard = openKeyboard(process.stdin, interactive, () => {
    if (interactive) end(SIGNALS.SIGHUP);
  });
  const hand = createHand({ options, teller, keyboard, end });
  if (options.log !== undefined) writeFileSync(options.log, "");
  if (!interactive)
    teller.plain("no terminal: approved by itself; what is piped in goes to the serial line. SIGTERM or SIGINT ends it");
  // only now: what builds images and bundles takes a while to load, and who asks for help shall not wait for it
  teller.waiting("it is made (Ctrl-C ends it)");
  const { openSite } = await import("../lab/gateway/site.ts");
  const opened = openSite({
    serialNumber: options.serial,
    tpm: !options["no-tpm"],
    heard: hand.heard,
    onHubLine: hand.hubLine,
    say: teller.step,
  });
  void opened.then((site) => hand.take(site)).catch(broken);
  const { exitCode, why } = await ended.promise;
  keyboard.restore();
  teller.waiting(undefined);
  teller.plain(why === undefined ? "" : `\n${why}`);
  teller.plain("switching off; what was laid out is removed");
  teller.mute();
  await close(opened);
  return exitCode;
}

/** Also a site that is still being made: what makes it is ended, so that its step fails and takes away what was made. */
async function close(opened: Promise<Site>): Promise<void> {
  const ending = setInterval(endChildren, END_CHILDREN_EVERY_MS);
  const site = await opened.catch(() => undefined); // why it could not be made was told, or we are why
  clearInterval(ending);
  await site?.stop();
}

/** proc(5): /proc/PID/task/TID/children; all of ours are started by this thread. */
function endChildren(): void {
  const children = readFileSync(`/proc/${process.pid}/task/${process.pid}/children`, "utf8").trim();
  for (const pid of children.split(" ").filter((word) => word !== "")) process.kill(Number(pid), "SIGTERM");
}

/** A defect of ours with where it is. */
function told(error: unknown): string {
  if (error instanceof Fault && error.code !== "assert.broken") return `${error.code}: ${error.message}`;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
