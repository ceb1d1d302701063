// The progress of a boot, read from the lines of firmware, kernel and systemd. Pure.

export interface Milestone {
  readonly step: Step["name"];
  readonly text: string;
}

interface Step {
  readonly name:
    | "restart"
    | "firmware"
    | "image"
    | "kernel"
    | "system"
    | "disk"
    | "warden"
    | "agent"
    | "network"
    | "life"
    | "tunnel"
    | "trouble";
  readonly pattern: RegExp;
  readonly text: (match: RegExpExecArray) => string;
  /** Reported each time, not only the first time in a boot. */
  readonly often?: true;
}

const STEPS: readonly Step[] = [
  { name: "firmware", pattern: /^BdsDxe: starting/u, text: () => "firmware starts the boot loader" },
  { name: "image", pattern: /^EFI stub: Loaded initrd/u, text: () => "boot loader has chosen a slot and starts its kernel" },
  { name: "kernel", pattern: /^\[ *\d+\.\d+\] /u, text: () => "kernel runs" },
  {
    name: "system",
    pattern: /\] systemd\[1\]: (?:Finished|Started|Reached|Mounted)/u,
    text: () => "root image verified, systemd starts services",
  },
  { name: "disk", pattern: /systemd\[1\]: Reached target local-fs\.target/u, text: () => "data partition mounted" },
  {
    name: "warden",
    pattern: /sallyport-warden: device "([\w.-]+)" \(([\w-]+)\), listening/u,
    text: ([, id, source]) => `warden listens: device ${id}, from the board's ${source}`,
  },
  { name: "agent", pattern: /sallyport-agent: sallyport-agent\/\S+ started/u, text: () => "agent runs" },
  {
    name: "network",
    pattern: /: DHCPv4 address ([\d./]+)/u,
    text: ([, address]) => `network: ${address}`,
  },
  {
    name: "life",
    pattern: /sallyport-agent: life (\S+) -> (\S+)/u,
    text: ([, , now]) => LIVES[now ?? ""] ?? `life: ${now}`,
    often: true,
  },
  {
    name: "tunnel",
    pattern: /sallyport-agent: tunnel connected to "([^"]*)": (.*)/u,
    text: ([, hub, how]) => `tunnel to ${hub}: ${how}`,
    often: true,
  },
  {
    name: "trouble",
    pattern: /systemd\[1\]: (sallyport[\w@-]*\.service: (?:Main process exited|Failed with result|Watchdog timeout).*)/u,
    text: ([, what]) => `${what}`,
    often: true,
  },
  {
    name: "trouble",
    pattern: /(Kernel panic.*|device-mapper: verity: .*corrupted.*)/u,
    text: ([, what]) => `${what}`,
    often: true,
  },
];

const LIVES: Readonly<Record<string, string>> = {
  keyed: "agent has its key",
  requested: "agent asks the hub for a certificate",
  enrolled: "agent has its certificate",
  connected: "connected",
  disconnected: "disconnected",
};

/** The steps of this boot that were seen. */
export type BootState = ReadonlySet<Step["name"]>;

export const SWITCHED_ON: BootState = new Set();

/**
 * @returns the milestones in `line`. A boot loader after a kernel is a restart, after which every
 * step is reported again.
 */
export function nextMilestones(
  state: BootState,
  line: string,
): { readonly state: BootState; readonly milestones: readonly Milestone[] } {
  const restarts = state.has("kernel") && line.startsWith("BdsDxe: loading");
  const seen = restarts ? SWITCHED_ON : state;
  const found = STEPS.flatMap(({ name, pattern, text, often }) => {
    const match = seen.has(name) && often === undefined ? null : pattern.exec(line);
    return match === null ? [] : [{ step: name, text: text(match) }];
  });
  const restart: readonly Milestone[] = restarts ? [{ step: "restart", text: "it restarts" }] : [];
  return { state: new Set([...seen, ...found.map(({ step }) => step)]), milestones: [...restart, ...found] };
}
