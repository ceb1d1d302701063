// `npm run gateway`: a whole gateway in an emulator beside a hub, with its serial console on this
// terminal. Everything that it made is removed at its end, however it ends.
import { readFileSync, writeFileSync } from "node:fs";
import { asFault, Fault } from "../../hal/fault.ts";
import { lacking } from "../lab/runner/needs.ts";
import { Session } from "./session.ts";
import { type Options, readOptions, USAGE } from "./options.ts";
import { createNarrator } from "./narrator.ts";
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
    return "building the gateway's image needs root, because a Debian system has files of many owners. Run it as root, for instance in a container or a virtual machine";
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
  const broken = (error: unknown): void => end(1, describe(error));
  for (const [signal, exitCode] of Object.entries(SIGNALS)) process.on(signal, () => end(exitCode, "interrupted"));
  process.on("uncaughtException", broken);
  process.on("unhandledRejection", broken);
  process.stdout.on("error", () => end(SIGNALS.SIGHUP)); // the reader is gone

  const narrator = createNarrator(process.stdout);
  const keyboard = openKeyboard(process.stdin, interactive, () => {
    if (interactive) end(SIGNALS.SIGHUP);
  });
  const session = new Session({ options, narrator, keyboard, end });
  if (options.log !== undefined) writeFileSync(options.log, "");
  if (!interactive)
    narrator.plain(
      "no terminal: the request is approved without asking, and input goes to the serial line. SIGTERM or SIGINT ends it",
    );
  // The modules that build images and bundles load slowly; --help must not wait for them.
  narrator.waiting("building the gateway (Ctrl-C ends it)");
  const { openSite } = await import("../lab/gateway/site.ts");
  const opened = openSite({
    serialNumber: options.serial,
    tpm: !options["no-tpm"],
    heard: session.heard,
    onHubLine: session.hubLine,
    say: narrator.step,
  });
  void opened.then((site) => session.run(site)).catch(broken);
  const { exitCode, why } = await ended.promise;
  keyboard.restore();
  narrator.waiting(undefined);
  narrator.plain(why === undefined ? "" : `\n${why}`);
  narrator.plain("switching off and removing what was made");
  narrator.mute();
  await close(opened);
  return exitCode;
}

/**
 * Ends a site that is still being built too: its programs are ended, so that the step fails and
 * undoes its work.
 */
async function close(opened: Promise<Site>): Promise<void> {
  const ending = setInterval(endChildren, END_CHILDREN_EVERY_MS);
  // the reason was printed already, or it is this end
  const site = await opened.catch(() => undefined);
  clearInterval(ending);
  await site?.stop();
}

/** proc(5), /proc/PID/task/TID/children: this thread starts all programs. */
function endChildren(): void {
  const children = readFileSync(`/proc/${process.pid}/task/${process.pid}/children`, "utf8").trim();
  for (const pid of children.split(" ").filter((word) => word !== "")) process.kill(Number(pid), "SIGTERM");
}

/** A defect of this program is printed with its stack. */
function describe(error: unknown): string {
  if (error instanceof Fault && error.code !== "assert.broken") return `${error.code}: ${error.message}`;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
