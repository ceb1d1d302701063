// The command line of `sallyport-release`. Exit codes: 0 done, 1 failed, 2 wrong usage.
import { parseArgs, type ParseArgsOptionsConfig } from "node:util";
import { argumentErrorText, printableJson, quoted, terminalText } from "../../hal/format/text.ts";
import { Fault, firstError } from "../../hal/fault.ts";
import { counted, wrap } from "../../hal/format/prose.ts";
import { type SlotPart, slotPartSchema } from "../../hal/format/slots.ts";
import { type Added, addTarget, type TargetDescription } from "./add.ts";
import { COUNTER_MAX } from "../../ota/trust/format/index.ts";
import { type AddedImage, addImage, type PartFiles } from "./image.ts";
import { resolveRequest, signAnswer } from "./answer.ts";
import { makeEscrowKey, readEscrowKey } from "./escrow-key.ts";
import { initialise } from "./init.ts";
import { changeKeys, listKeys } from "./key-changes.ts";
import { makeKeyFile } from "./keys.ts";
import { checkPayload } from "./payload.ts";
import { inLocked, places } from "./alone.ts";
import { publish } from "./publish.ts";
import { listWaiting, removeSigning, signChanges } from "./sign.ts";
import { type Draft, findDraft, listDrafts, removeDraft } from "./staged.ts";
import { outcomeText, roleKeysText, waitingText, warningLines } from "./texts.ts";

const VERSION = "sallyport-release/0.1.0";

export interface ReleaseTerminal {
  out(text: string): void;
  err(text: string): void;
  /**
   * Resolves once all of the above has been written.
   * @throws Fault `file.write-failed` when some of it is lost, so that nobody can have seen it.
   */
  shown(): Promise<void>;
  nowMs(): number;
  /** Asks the person at the terminal; undefined where there is none. */
  readonly confirm?: ((question: string) => Promise<boolean>) | undefined;
}

interface Outcome {
  /** For `--json`. */
  readonly value: unknown;
  readonly text: string;
  /** True: the text is for a program and is not wrapped. */
  readonly verbatim?: boolean;
}

interface Command {
  readonly name: string;
  readonly usage: string;
  readonly help: string;
  readonly options: ParseArgsOptionsConfig;
  /** How many arguments it takes, and how many of the last ones are optional. */
  readonly args: number;
  readonly optional?: number;
  run(
    args: readonly string[],
    options: ReadonlyMap<string, readonly string[]>,
    nowMs: number,
    terminal: ReleaseTerminal,
  ): Promise<Outcome>;
}

const COMMANDS: readonly Command[] = [
  {
    name: "init",
    usage: "init DIR",
    help: "Makes a repository in DIR/repository and its Ed25519 keys in DIR/keys. Store the keys offline. The printed root goes into the devices' image.",
    options: {},
    args: 1,
    run: async ([dir = ""], _options, nowMs) => {
      const made = await initialise(dir, nowMs);
      const text = [
        `made a repository; put ${made.root} into the devices' image`,
        `store ${made.keys} offline, in a safe`,
        `next: sallyport-release add ${dir} ROLE/NAME FILE ...`,
      ].join("\n");
      return { value: made, text };
    },
  },
  {
    name: "add",
    usage:
      "add DIR ROLE/NAME FILE|--part root=IMAGE ... --hardware ID|any ... --audience everyone|tenant=T|device=ID|group=G ... [--line L] [--counter N] [--floor-after-commit N]",
    help: "Adds a file as a draft of a target of the role os, app, policy, operators or hub. --audience names devices, groups of a tenant, or everyone; a tenant only narrows, so alone it names no device and is refused. The default line is the role, and the default counter is the next one of the line. A release (os/NAME) consists of the parts root, verity and kernel: each image is cut into chunks, of which only new ones are stored, and the target is the manifest that names them.",
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
      const added = await addFrom(dir, target, file, options);
      const { line, counter } = added.custom;
      const parts = ("parts" in added ? added.parts : []).map(
        (each) =>
          `${each.part}: ${counted(each.imageBytes, "byte")} in ${counted(each.chunks, "chunk")}, ${each.added} new (${counted(each.addedBytes, "byte")})`,
      );
      const text = `added the draft ${target} (${line} ${counter}, ${counted(added.length, "byte")}), for ${added.reach}\nnext: sallyport-release sign ${dir}`;
      return { value: added, text: [...parts, text].join("\n") };
    },
  },
  {
    name: "drafts",
    usage: "drafts DIR",
    help: "Lists what was added and is not signed yet and whom it would reach, drafted changes of keys, and how many signatures each role has that waits for more.",
    options: {},
    args: 1,
    run: async ([dir = ""], _options, nowMs) => {
      const [drafts, waiting] = [await listDrafts(dir), await listWaiting(dir, nowMs)];
      const keys = (await listKeys(dir)).filter(({ draft }) => draft !== undefined);
      const lines = [
        ...drafts.map((each) => draftLine(each)),
        ...keys.map((each) => roleKeysText(each)),
        ...waiting.map((each) => waitingText(each)),
      ];
      return { value: { drafts, keys, waiting }, text: lines.length === 0 ? "there are no drafts" : lines.join("\n") };
    },
  },
  {
    name: "show",
    usage: "show DIR ROLE/NAME",
    help: "Shows a draft whole: line, counter, audience, hardware, and the hash of its content.",
    options: {},
    args: 2,
    run: async ([dir = "", target = ""], _options, nowMs) => {
      const draft = await findDraft(dir, target);
      const { hardware, floorAfterCommit } = draft.custom;
      const text = [
        draftLine(draft),
        `hardware  ${"any" in hardware ? "any" : hardware.ids.join(", ")}`,
        ...(floorAfterCommit === undefined ? [] : [`floor     ${floorAfterCommit} after its commit`]),
        `content   ${counted(draft.length, "byte")}, sha256:${draft.sha256}`,
        `file      ${draft.file}`,
        ...(await listWaiting(dir, nowMs)).flatMap((each) => (target.startsWith(`${each.role}/`) ? [waitingText(each)] : [])),
      ].join("\n");
      return { value: draft, text };
    },
  },
  {
    name: "remove",
    usage: "remove DIR ROLE/NAME|ROLE",
    help: "Removes a draft: of a target, or with ROLE alone its change of keys and the signatures on its next version. What is signed stays.",
    options: {},
    args: 2,
    run: async ([dir = "", target = ""]) => {
      await (target.includes("/") ? removeDraft(dir, target) : removeSigning(dir, target));
      return { value: { removed: target }, text: `removed the draft ${target}` };
    },
  },
  {
    name: "sign",
    usage: "sign DIR [--role ROLE ...|--renew] [--key FILE ...] [--signatures FILE ...] [--root FILE]",
    help: "Signs the drafts, with the keys in DIR/keys and those of --key, after checking the result as a device would: what a device would refuse is not written. A role that needs the signatures of several people waits in DIR/staged/signing until enough of them have run this command on the same draft; --signatures takes in what one of them signed in a copy of DIR. --root is your own copy of the first root: a DIR that came from others must begin with it. With --role, only these roles are signed again to renew their expiry date, with their own drafts; timestamp and snapshot have none, and expire after 90 days. --renew renews every role that has expired or will within 30 days, and timestamp and snapshot, without any drafts.",
    options: {
      role: { type: "string", multiple: true },
      renew: { type: "boolean" },
      key: { type: "string", multiple: true },
      signatures: { type: "string", multiple: true },
      root: { type: "string" },
    },
    args: 1,
    run: async ([dir = ""], options, nowMs) => {
      const outcome = await signChanges(dir, options.get("role") ?? [], nowMs, {
        keys: options.get("key") ?? [],
        signatures: options.get("signatures") ?? [],
        renew: options.has("renew"),
        root: options.get("root")?.[0],
      });
      return { value: outcome, text: outcomeText(dir, outcome) };
    },
  },
  {
    name: "keygen",
    usage: "keygen FILE",
    help: "Makes an Ed25519 key for metadata that only its owner can read, and prints its id and its public half, for sallyport-release keys. An existing file is never overwritten.",
    options: {},
    args: 1,
    run: async ([file = ""]) => {
      const made = await makeKeyFile(file);
      return { value: { file, ...made }, text: `key id      ${made.keyid}\npublic key  ${made.publicKey}` };
    },
  },
  {
    name: "escrow-key",
    usage: "escrow-key FILE [--public]",
    help: "Makes the owner's key for the escrow of TPM passwords, a P-256 key that only its owner can read, and prints its public half: store that as escrow.json among the files of the image. Keep FILE offline, with a copy in another place: it alone opens what the devices escrow, with sallyport tpm passwords. An existing file is never overwritten; --public prints the public half of one.",
    options: { public: { type: "boolean" } },
    args: 1,
    run: async ([file = ""], options) => {
      const { keyid, jwk } = options.has("public") ? await readEscrowKey(file) : await makeEscrowKey(file);
      return { value: { file, keyid, jwk }, text: JSON.stringify(jwk), verbatim: true };
    },
  },
  {
    name: "keys",
    usage: "keys DIR [ROLE [--key PUBLIC|ID ...] [--threshold N]]",
    help: "Lists which keys may sign each role, and how many of them must. With ROLE it drafts a change: --key names each key that may sign from then on, by its public half (base64, or a file in PEM) or by the id of a key that the role has. A change of a top-level role is signed in root, by enough of the former and of the new keys of root; one of the others in targets.",
    options: { key: { type: "string", multiple: true }, threshold: { type: "string" } },
    args: 2,
    optional: 1,
    run: async ([dir = "", role], options) => {
      if (role === undefined) {
        const keys = await listKeys(dir);
        return { value: { keys }, text: keys.map((each) => roleKeysText(each)).join("\n") };
      }
      const drafted = await changeKeys(dir, role, options.get("key") ?? [], numberOf(options, "threshold"));
      return { value: drafted, text: `${roleKeysText(drafted)}\nnext: sallyport-release sign ${dir}` };
    },
  },
  {
    name: "publish",
    usage: "publish DIR TO [--without-drafts]",
    help: "Copies the signed repository to TO, a directory that a server provides as static files (for the hub, STATE/repository), after checking it as a device would. Readers see the old state or the new one. Drafts are a reason to refuse, unless --without-drafts leaves them behind.",
    options: { "without-drafts": { type: "boolean" } },
    args: 2,
    run: async ([dir = "", to = ""], options, nowMs) => {
      const done = await publish(dir, to, { nowMs, withoutDrafts: options.has("without-drafts") });
      return {
        value: done,
        text: [
          ...warningLines(done.warnings),
          `published to ${to}: ${counted(done.copied, "file")} copied, timestamp version ${done.timestamp}`,
        ].join("\n"),
      };
    },
  },
  {
    name: "answer",
    usage: "answer REQUEST --key FILE [--root FILE] [--repository DIR] [--reason TEXT] [--yes]",
    help: "Signs an order away from the hub. REQUEST is the file that sallyport-hub order --print made. What the order is about is resolved and shown first: a release is looked up in the files of DIR, verified from your own copy of its root, and the plan of a policy is hashed again. What cannot be resolved is not signed. The printed line is for sallyport-hub order --answer. --yes says that you have read it, for scripts.",
    options: {
      key: { type: "string" },
      root: { type: "string" },
      repository: { type: "string" },
      reason: { type: "string" },
      yes: { type: "boolean" },
    },
    args: 1,
    run: ([file = ""], options, nowMs, terminal) => answerRequest(file, options, nowMs, terminal),
  },
];

/** Shows what a request is about before the key is read. */
async function answerRequest(file: string, options: Options, nowMs: number, terminal: ReleaseTerminal): Promise<Outcome> {
  const one = (name: string): string | undefined => options.get(name)?.[0];
  const keyFile = one("key");
  if (keyFile === undefined) throw new Fault("usage.invalid", "answer needs --key: the operator's key");
  const { request, subject } = await resolveRequest({ file, root: one("root"), repository: one("repository"), nowMs });
  for (const line of subject.lines) terminal.err(line);
  await terminal.shown();
  if (subject.needsConsent && !options.has("yes")) {
    if (terminal.confirm === undefined)
      throw new Fault("usage.invalid", "answer: nobody can be asked here; read the above, then add --yes");
    if (!(await terminal.confirm(`Sign ${request.verb} for "${request.deviceId}"? Type yes: `)))
      throw new Fault("usage.invalid", "answer: it was not confirmed, so nothing was signed");
  }
  const order = await signAnswer(request, keyFile, one("reason"), terminal.nowMs());
  return { value: { order, lines: subject.lines }, text: order, verbatim: true };
}

/** All output is printable: a file or an argument steers no terminal. */
export async function run(argv: readonly string[], given: ReleaseTerminal): Promise<number> {
  const terminal: ReleaseTerminal = {
    out: (text) => given.out(terminalText(text)),
    err: (text) => given.err(terminalText(text)),
    shown: () => given.shown(),
    nowMs: () => given.nowMs(),
    confirm: given.confirm,
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
      `sallyport-release: usage.invalid: ${argv[0] === undefined ? "no command was given" : `there is no command ${quoted(argv[0])}`}\n\n${overview()}`,
    );
    return 2;
  }
  if (help) {
    terminal.out(`${wrap(`sallyport-release ${command.usage} [--json]`, 4)}\n\n${wrap(command.help)}`);
    return 0;
  }
  try {
    const { args, options } = parsed(command, argv.slice(1));
    const alone = () => command.run(args, options, terminal.nowMs(), terminal);
    const { value, text, verbatim } = await inLocked(places(command.name, args), alone);
    terminal.out(options.has("json") ? printableJson(value) : verbatim === true ? text : wrap(text, 2));
    return 0;
  } catch (thrown) {
    const error = firstError(thrown);
    if (!(error instanceof Fault)) throw thrown;
    terminal.err(wrap(`sallyport-release: ${error.code}: ${error.message}`, 2));
    if (error.code !== "usage.invalid") return 1;
    terminal.err(wrap(`usage: sallyport-release ${command.usage}`, 2));
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
        `${name} takes ${optional > 0 ? `${args - optional} or ` : ""}${counted(args, "argument")}, got ${count}`,
      );
    const given = Object.entries(found.values).map(([key, value]) => [key, [value].flat().map(String)] as const);
    return { args: found.positionals, options: new Map(given) };
  } catch (error) {
    if (error instanceof Fault) throw error;
    throw new Fault("usage.invalid", argumentErrorText(error), { cause: error });
  }
}

function draftLine({ target, custom, length, reach }: Draft): string {
  return `${target} (${custom.line} ${custom.counter}, ${counted(length, "byte")}), for ${reach}`;
}

type Options = ReadonlyMap<string, readonly string[]>;

/** Adds a file as it is, or images as chunks. */
async function addFrom(dir: string, target: string, file: string | undefined, options: Options): Promise<Added | AddedImage> {
  const description = describeTarget(target, options);
  const parts = partsOf(options.get("part") ?? []);
  if ((file === undefined) === (parts.size === 0))
    throw new Fault("usage.invalid", "add takes a FILE, or the images of a release: --part root=IMAGE --part kernel=IMAGE");
  if (file === undefined) return await addImage(dir, target, parts, description);
  await checkPayload(target, file);
  return await addTarget(dir, target, file, description);
}

function partsOf(values: readonly string[]): PartFiles {
  const files = new Map<SlotPart, string>();
  for (const word of values) {
    const [, name, file] = /^([a-z]+)=(.+)$/su.exec(word) ?? [];
    const part = slotPartSchema.options.find((known) => known === name);
    if (part === undefined || file === undefined)
      throw new Fault(
        "usage.invalid",
        `--part must be ${slotPartSchema.options.map((known) => `${known}=IMAGE`).join(", ")}, got ${quoted(word)}`,
      );
    if (files.has(part)) throw new Fault("usage.invalid", `--part ${part} was given twice`);
    files.set(part, file);
  }
  return files;
}

/**
 * @throws Fault `usage.invalid`. The combination is checked together with the rest of the target.
 */
function describeTarget(target: string, options: Options): TargetDescription {
  const hardware = options.get("hardware") ?? [];
  if (hardware.length === 0) throw new Fault("usage.invalid", "add needs --hardware: the hardware ids of the devices, or any");
  const counter = numberOf(options, "counter");
  const floor = numberOf(options, "floor-after-commit");
  const values = options.get("audience");
  return {
    line: options.get("line")?.[0] ?? target.split("/")[0] ?? "",
    ...(counter === undefined ? {} : { counter }),
    ...(floor === undefined ? {} : { floorAfterCommit: floor }),
    hardware: hardware.includes("any") ? { any: true } : { ids: [...hardware] },
    ...(values === undefined ? {} : { audience: audienceOf(values) }),
  };
}

function audienceOf(values: readonly string[]): NonNullable<TargetDescription["audience"]> {
  const valuesOf = (kind: string): string[] =>
    values.flatMap((word) => (word.startsWith(`${kind}=`) ? [word.slice(kind.length + 1)] : []));
  const unknown = values.find((word) => !/^(everyone|(tenant|device|group)=.+)$/u.test(word));
  if (unknown !== undefined)
    throw new Fault("usage.invalid", `--audience must be everyone, tenant=T, device=ID or group=G, got ${quoted(unknown)}`);
  const [tenant, ...more] = valuesOf("tenant");
  if (more.length > 0) throw new Fault("usage.invalid", "a target can be for one tenant at most");
  const devices = valuesOf("device");
  const groups = valuesOf("group");
  return {
    ...(values.includes("everyone") ? { everyone: true } : {}),
    ...(tenant === undefined ? {} : { tenant }),
    ...(devices.length === 0 ? {} : { devices }),
    ...(groups.length === 0 ? {} : { groups }),
  };
}

function numberOf(options: Options, name: string): number | undefined {
  const text = options.get(name)?.[0];
  if (text === undefined) return undefined;
  if (!/^[1-9]\d{0,9}$/u.test(text) || Number(text) > COUNTER_MAX)
    throw new Fault("usage.invalid", `--${name} must be a number from 1 to ${COUNTER_MAX}, got ${quoted(text)}`);
  return Number(text);
}

function overview(): string {
  const commands = COMMANDS.map(({ usage, help }) => `${wrap(`  ${usage}`, 2)}\n${wrap(`      ${help}`)}`);
  return [
    "sallyport-release: signs releases, policies and rosters for devices",
    commands.join("\n"),
    "  --json prints the result as JSON\n  --help, --version",
    "Exit codes: 0 done, 1 failed, 2 wrong usage.",
  ].join("\n\n");
}
