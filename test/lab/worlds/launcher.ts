// The boot loader, kernel and systemd of a simulated board. It reads which system the booted slot
// holds, starts the warden and, as another user, the agent (neither starts the other), restarts
// them when they end, and reboots when it is asked to. Beside them runs the timer that leaves a
// system on trial which nobody committed: it is a shell script, because it must work where Node
// does not. [OTA-34] [OTA-35]
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Fault } from "../../../hal/fault.ts";
import { decodeBootPlan, type SlotName } from "../../../hal/format/slots.ts";
import type { ImageFacts } from "../../../ota/format/image.ts";
import { HARDWARE } from "./board.ts";
import { powerOn } from "../fakes/bootloader.ts";
import { eventually, HANG_MS, type RunningProgram } from "../runner/process.ts";
import { UNITS } from "../runner/units.ts";
import type { Rig } from "./rig.ts";
import { readSystemHeader, type SystemHeader } from "./system-image.ts";

export interface Boot {
  readonly slot: SlotName;
  readonly system: SystemHeader;
  /** The slot is on trial. */
  readonly trial: boolean;
  /** What ended the boot before; undefined when the board was powered on. */
  readonly after: string | undefined;
}

export interface Launcher {
  /** Every boot so far; the last one is running. */
  readonly boots: readonly Boot[];
  /** Boots the board and starts the warden, and the agent too unless `programs` is "warden". */
  powerOn(programs?: "all" | "warden"): Promise<void>;
  startAgent(): void;
  /**
   * The warden as this boot first started it.
   * @throws Fault `process.failed` while the board is off.
   */
  warden(): RunningProgram;
  /** Waits for boot number `count`, from 1. @throws Fault `process.timeout`. */
  booted(count: number, timeoutMs?: number): Promise<Boot>;
  stop(): Promise<void>;
}

export interface LauncherOptions {
  /** The seconds that the timer outside gives a system on trial. */
  readonly timerS?: (system: SystemHeader) => number;
}

const RESTART_MS = 500;
const POLL_EVERY_MS = 50;
/** Does what `sallyport-trial.timer` does on a machine, its note on `/boot` included. [OTA-70] */
const TIMER = `sleep "$2"
read -r plan < "$1/slots/boot-choice"
case $plan in *" tried "*) echo "timer $3" > "$4/trial-ended"; echo "the trial's timer" > "$1/run/timer" && mv "$1/run/timer" "$1/run/reboot-request" ;; esac`;

export function createLauncher(rig: Rig, { timerS = () => 600 }: LauncherOptions = {}): Launcher {
  const { root } = rig.board;
  const request = join(root, "run/reboot-request");
  const boots: Boot[] = [];
  let running: Running | undefined;
  let rebooting: Promise<void> = Promise.resolve();
  let failure: unknown;

  const bootUp = async (programs: "all" | "warden", after: string | undefined): Promise<void> => {
    await rm(request, { force: true });
    forgetKernelState(rig);
    await wipeState(rig);
    const slot = await powerOn(root);
    const system = await readSystemHeader(rig.board.slots[slot]);
    const trial = decodeBootPlan(await readFile(rig.board.slots.bootChoice, "latin1")).trial?.slot === slot;
    const facts: ImageFacts = { v: 1, version: system.version, hardware: HARDWARE, counter: system.counter };
    await writeFile(join(rig.board.etc, "image.json"), JSON.stringify(facts), { mode: 0o644 });
    boots.push({ slot, system, trial, after });
    const started = runSystem(rig, system, trial ? { slot, seconds: timerS(system) } : undefined);
    running = started;
    await started.wardenSettled;
    if (programs === "all") started.startAgent();
  };
  const poll = setInterval(() => {
    if (running === undefined || !existsSync(request)) return;
    const stopping = running;
    running = undefined;
    rebooting = (async () => {
      const after = (await readFile(request, "utf8")).trim();
      await stopping.stop();
      await bootUp("all", after);
    })().catch((error: unknown) => {
      failure = error;
    });
  }, POLL_EVERY_MS);
  poll.unref();
  return {
    boots,
    powerOn: (programs = "all") => bootUp(programs, undefined),
    startAgent: () => running?.startAgent(),
    warden: () => {
      if (running === undefined) throw new Fault("process.failed", "ask for the warden: the board is off");
      return running.warden;
    },
    booted: (count, timeoutMs = HANG_MS) =>
      eventually(
        `boot ${count} of the board`,
        async () => {
          if (failure !== undefined) throw failure;
          return running === undefined ? undefined : boots[count - 1];
        },
        timeoutMs,
      ),
    async stop() {
      clearInterval(poll);
      await rebooting;
      await running?.stop();
      running = undefined;
    },
  };
}

interface Running {
  readonly warden: RunningProgram;
  /** Resolves when the warden listens, or has ended. */
  readonly wardenSettled: Promise<unknown>;
  startAgent(): void;
  stop(): Promise<void>;
}

interface TrialTimer {
  readonly slot: SlotName;
  readonly seconds: number;
}

function runSystem(rig: Rig, system: SystemHeader, trial: TrialTimer | undefined): Running {
  const timer = trial === undefined ? undefined : startTimer(rig, trial);
  const broken = ["/bin/false"];
  const warden = keepRunning(() => rig.launchWarden(system.warden === "broken" ? broken : undefined));
  let agent: Kept | undefined;
  return {
    warden: warden.first,
    wardenSettled: warden.first.line(/listening|serving|ready/iu).catch(() => undefined),
    startAgent: () => {
      agent ??= keepRunning(() => rig.launchAgent(system.agent === "broken" ? broken : undefined));
    },
    // As systemd does: what was started last ends first.
    stop: async () => {
      killGroup(timer);
      await agent?.stop();
      await warden.stop();
    },
  };
}

interface Kept {
  readonly first: RunningProgram;
  stop(): Promise<void>;
}

/** As with Restart=always. */
function keepRunning(launch: () => RunningProgram): Kept {
  const wanted = new AbortController();
  const first = launch();
  let program = first;
  const kept = (async () => {
    while (!wanted.signal.aborted) {
      // A program that did not start is started again too.
      await program.ended.catch(() => undefined);
      await pause(RESTART_MS, wanted.signal);
      if (!wanted.signal.aborted) program = launch();
    }
  })();
  return {
    first,
    stop: async () => {
      wanted.abort();
      await program.stop();
      await kept;
    },
  };
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/**
 * What `sallyport-reset.service` does before the programs: nothing, unless a reset was ordered. The
 * disk of the machine that runs the test is told nothing about blocks.
 */
async function wipeState({ directory, board }: Rig): Promise<void> {
  const tools = join(directory, "tools");
  await mkdir(tools, { recursive: true });
  await writeFile(join(tools, "fstrim"), "#!/bin/sh\nexit 1\n", { mode: 0o755 });
  const below = (path: string): string => path.slice(directory.length);
  spawnSync("sh", [`${UNITS}/usr/lib/sallyport/wipe-state`], {
    stdio: "ignore",
    timeout: HANG_MS,
    env: {
      PATH: `${tools}:/usr/bin:/bin`,
      SALLYPORT_ROOT: directory,
      SALLYPORT_CONSOLE: "/dev/null",
      SALLYPORT_BIRTH: below(board.birth),
      SALLYPORT_STATE: below(board.agentState),
      SALLYPORT_WARDEN_STATE: below(board.wardenState),
    },
  });
}

/** A kernel that starts has no packet filter and authorizes every USB device. */
function forgetKernelState({ board, namespace }: Rig): void {
  board.usb.powerOn();
  if (namespace !== undefined) spawnSync("ip", ["netns", "exec", namespace, "nft", "delete", "table", "inet", "sallyport"]);
}

function startTimer({ board }: Rig, { slot, seconds }: TrialTimer): ChildProcess {
  return spawn("sh", ["-c", TIMER, "trial-timer", board.root, String(seconds), slot, board.birth], {
    stdio: "ignore",
    detached: true,
  });
}

/** Kills the timer with the `sleep` that it waits for. */
function killGroup(leader: ChildProcess | undefined): void {
  if (leader?.pid === undefined || leader.exitCode !== null) return;
  process.kill(-leader.pid, "SIGKILL");
}
