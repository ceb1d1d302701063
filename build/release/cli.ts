// The command line of `sallyport-release`. Exit codes: 0 done, 1 not done, 2 typed wrong.
import { join } from "node:path";
import { parseArgs, type ParseArgsOptionsConfig } from "node:util";
import { printableJson, terminalText } from "../../hal/format/text.ts";
import { Fault } from "../../hal/fault.ts";
import { type SlotPart, slotPartSchema } from "../../hal/format/slots.ts";
import { type Added, addTarget, type Said } from "./add.ts";
import { type AddedImage, addImage, type PartFiles } from "./image.ts";
import { initialise } from "./init.ts";
import { checkPayload } from "./payload.ts";
import { publish } from "./publish.ts";
import { signChanges } from "./sign.ts";

const VERSION = "sallyport-release/0.1.0";

export interface ReleaseTerminal {
  out(text: string): void;
  err(text: string): void;
  nowMs(): number;
}

interface Outcome {
  /** For `--json`. */
  readonly value: unknown;
  readonly text: string;
}

interface Command {
  readonly name: string;
  readonly usage: string;
  readonly help: string;
  readonly options: ParseArgsOptionsConfig;
  /** The last of them may be left out where `optional` says so. */
  readonly args: number;
  readonly optional?: number;
  run(args: readonly string[], options: ReadonlyMap<string, readonly string[]>, nowMs: number): Promise<Outcome>;
}

const COMMANDS: readonly Command[] = [
  {
    name: "init",
    usage: "init DIR",
    help: "Makes a repository and its keys (ed25519): DIR/keys, to be kept offline, and DIR/repository. The root it names goes into the devices' image.",
    options: {},
    args: 1,
    run: async ([dir = ""], _options, nowMs) => {
      const made = await initialise(dir, nowMs);
      const text = `made; put ${made.root} into the devices' image and ${made.keys} into a safe; next: sallyport-release add ${dir} ROLE/NAME FILE ...`;
      return { value: made, text };
    },
  },
  {
    name: "add",
    usage:
      "add DIR ROLE/NAME FILE|--part root=IMAGE ... --hardware ID|any ... --audience everyone|tenant=T|device=ID|group=G ... [--line L] [--counter N] [--floor-after-commit N]",
    help: "Adds a file as a target of the role os, app, policy, operators or hub. Without --audience it is for no device. The line is the role and the counter the next one, unless told otherwise. A release (os/NAME) is made of parts, root, verity and kernel: each image is cut into chunks, of which only new ones take room, and the target is the manifest that names them.",
    options: {
      part: { type: "string", multiple: true },
      hardware: { type: "string", multiple: true },
      audience: { type: "string", multiple: true },
      line: { type: "string" },
      counter: { type: "string" },
      "floor-after-commit": { type: "string" },
    },
    args: 3,
    optional: 1,
    run: async ([dir = "", target = "", file], options) => {
      const added = await addedBy(dir, target, file, options);
      const whom = added.custom.audience === undefined ? "for no device: it has no --audience" : "staged";
      const { line, counter } = added.custom;
      const parts = ("parts" in added ? added.parts : []).map(
        (each) =>
          `${each.part}: ${each.imageBytes} bytes in ${each.chunks} chunks, ${each.added} of them new (${each.addedBytes} bytes)`,
      );
      const text = `${target} (${line} ${counter}, ${added.length} bytes) ${whom}; next: sallyport-release sign ${dir}`;
      return { value: added, text: [...parts, text].join("\n") };
    },
  },
  {
    name: "sign",
    usage: "sign DIR [--role ROLE ...]",
    help: "Signs what was added, with the keys in DIR/keys. --role signs a role anew, for new dates: timestamp and snapshot before their 90 days are over.",
    options: { role: { type: "string", multiple: true } },
    args: 1,
    run: async ([dir = ""], options, nowMs) => {
      const signed = await signChanges(dir, options.get("role") ?? [], nowMs);
      const lines = signed.map(({ role, version, expires }) => `${role} ${version}, until ${expires}`);
      const next =
        signed.length === 0
          ? "nothing changed; --role timestamp renews the dates"
          : `next: take ${join(dir, "repository")} to the hub, without the keys: sallyport-hub release publish repository`;
      return { value: { signed }, text: [...lines, next].join("\n") };
    },
  },
  {
    name: "publish",
    usage: "publish DIR TO",
    help: "Copies the signed repository to TO, a directory that is served as static files (by the hub: STATE/repository). Readers see the old state or the new.",
    options: {},
    args: 2,
    run: async ([dir = "", to = ""]) => {
      const done = await publish(dir, to);
      return { value: done, text: `${to} is at timestamp ${done.timestamp}; ${done.copied} files copied` };
    },
  },
];

/** All output is printable: a file or an argument steers no terminal. */
export async function run(argv: readonly string[], given: ReleaseTerminal): Promise<number> {
  const terminal: ReleaseTerminal = {
    out: (text) => given.out(terminalText(text)),
    err: (text) => given.err(terminalText(text)),
    nowMs: () => given.nowMs(),
  };
  if (argv[0] === "--version") {
    terminal.out(VERSION);
    return 0;
  }
  const command = COMMANDS.find(({ name }) => name === argv[0]);
  const help = argv.includes("--help") || argv.includes("-h");
  if (command === undefined) {
    if (help || argv[0] === "help") {
      terminal.out(overview());
      return 0;
    }
    terminal.err(
      `sallyport-release: usage.invalid: ${argv[0] === undefined ? "no command given" : `no command "${argv[0]}"`}\n\n${overview()}`,
    );
    return 2;
  }
  if (help) {
    terminal.out(`sallyport-release ${command.usage} [--json]\n\n${command.help}`);
    return 0;
  }
  try {
    const { args, options } = parsed(command, argv.slice(1));
    const { value, text } = await command.run(args, options, terminal.nowMs());
    terminal.out(options.has("json") ? printableJson(value) : text);
    return 0;
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    terminal.err(`sallyport-release: ${error.code}: ${error.message}`);
    if (error.code !== "usage.invalid") return 1;
    terminal.err(`usage: sallyport-release ${command.usage}`);
    return 2;
  }
}

function parsed(
  { name, args, optional = 0, options }: Command,
  argv: readonly string[],
): { readonly args: readonly string[]; readonly options: ReadonlyMap<string, readonly string[]> } {
  try {
    const found = parseArgs({ args: [...argv], options: { ...options, json: { type: "boolean" } }, allowPositionals: true });
    const count = found.positionals.length;
    if (count > args || count < args - optional)
      throw new Fault(
        "usage.invalid",
        `${name} takes ${optional > 0 ? `${args - optional} or ` : ""}${args} argument${args === 1 ? "" : "s"}, got ${count}`,
      );
    const given = Object.entries(found.values).map(([key, value]) => [key, [value].flat().map(String)] as const);
    return { args: found.positionals, options: new Map(given) };
  } catch (error) {
    if (error instanceof Fault) throw error;
    throw new Fault("usage.invalid", error instanceof Error ? error.message : String(error), { cause: error });
  }
}

type Options = ReadonlyMap<string, readonly string[]>;

/** A file as it is, or images as chunks. */
async function addedBy(dir: string, target: string, file: string | undefined, options: Options): Promise<Added | AddedImage> {
  const said = saidBy(target, options);
  const parts = partsOf(options.get("part") ?? []);
  if ((file === undefined) === (parts.size === 0))
    throw new Fault("usage.invalid", "add takes a FILE, or for a release its images: --part root=IMAGE --part kernel=IMAGE");
  if (file === undefined) return await addImage(dir, target, parts, said);
  await checkPayload(target, file);
  return await addTarget(dir, target, file, said);
}

function partsOf(words: readonly string[]): PartFiles {
  const files = new Map<SlotPart, string>();
  for (const word of words) {
    const [, name, file] = /^([a-z]+)=(.+)$/su.exec(word) ?? [];
    const part = slotPartSchema.options.find((known) => known === name);
    if (part === undefined || file === undefined)
      throw new Fault(
        "usage.invalid",
        `--part is ${slotPartSchema.options.map((known) => `${known}=IMAGE`).join(", ")}, got "${word}"`,
      );
    if (files.has(part)) throw new Fault("usage.invalid", `--part ${part} is given twice`);
    files.set(part, file);
  }
  return files;
}

/** @throws Fault `usage.invalid`. What the words add up to is checked with the rest of the target. */
function saidBy(target: string, options: ReadonlyMap<string, readonly string[]>): Said {
  const hardware = options.get("hardware") ?? [];
  if (hardware.length === 0) throw new Fault("usage.invalid", "add needs --hardware: the hardware ids it is for, or any");
  const counter = numberOf(options, "counter");
  const floor = numberOf(options, "floor-after-commit");
  const words = options.get("audience");
  return {
    line: options.get("line")?.[0] ?? target.split("/")[0] ?? "",
    ...(counter === undefined ? {} : { counter }),
    ...(floor === undefined ? {} : { floorAfterCommit: floor }),
    hardware: hardware.includes("any") ? { any: true } : { ids: [...hardware] },
    ...(words === undefined ? {} : { audience: audienceOf(words) }),
  };
}

function audienceOf(words: readonly string[]): NonNullable<Said["audience"]> {
  const valuesOf = (kind: string): string[] =>
    words.flatMap((word) => (word.startsWith(`${kind}=`) ? [word.slice(kind.length + 1)] : []));
  const odd = words.find((word) => !/^(everyone|(tenant|device|group)=.+)$/u.test(word));
  if (odd !== undefined) throw new Fault("usage.invalid", `--audience is everyone, tenant=T, device=ID or group=G, got "${odd}"`);
  const [tenant, ...more] = valuesOf("tenant");
  if (more.length > 0) throw new Fault("usage.invalid", "a target is for one tenant, or says nothing about tenants");
  const devices = valuesOf("device");
  const groups = valuesOf("group");
  return {
    ...(words.includes("everyone") ? { everyone: true } : {}),
    ...(tenant === undefined ? {} : { tenant }),
    ...(devices.length === 0 ? {} : { devices }),
    ...(groups.length === 0 ? {} : { groups }),
  };
}

function numberOf(options: ReadonlyMap<string, readonly string[]>, name: string): number | undefined {
  const text = options.get(name)?.[0];
  if (text === undefined) return undefined;
  if (!/^[1-9]\d{0,9}$/u.test(text)) throw new Fault("usage.invalid", `--${name} is a number from 1, got "${text}"`);
  return Number(text);
}

function overview(): string {
  const lines = COMMANDS.map(({ usage, help }) => `  ${usage}\n      ${help}`);
  return `sallyport-release: signs what devices accept\n\n${lines.join("\n")}\n\n  --json prints what was done as JSON\n  --help, --version\n\nExit codes: 0 done, 1 not done, 2 usage.`;
}
