// One command of `sallyport-hub`: its usage, and the arguments that it is given.
import { parseArgs, type ParseArgsOptionsConfig } from "node:util";
import { Fault } from "../../hal/fault.ts";
import { counted } from "../../hal/format/prose.ts";
import { argumentErrorText, quoted } from "../../hal/format/text.ts";

export interface HubTerminal {
  /** Prints the text as it is: the caller wraps prose. */
  out(text: string): void;
  /** Prints a message, which may be wrapped. */
  err(text: string): void;
  /**
   * Resolves once all of the above has been written.
   * @throws Fault `file.write-failed` when some of it is lost, so that nobody can have seen it.
   */
  shown(): Promise<void>;
  /** Asks the person at the terminal for a line; undefined where there is none. */
  readonly ask?: ((question: string) => Promise<string>) | undefined;
  /** Aborts on SIGTERM or SIGINT. */
  readonly stop: AbortSignal;
}

export interface HubCommand {
  /** `devices approve`. */
  readonly name: string;
  readonly usage: string;
  readonly help: string;
  readonly options: ParseArgsOptionsConfig;
  /** Names of the arguments. Those that end in `?` are optional. */
  readonly args: readonly string[];
  /** @returns the exit code. */
  run(given: Given, terminal: HubTerminal): number | Promise<number>;
}

/** The arguments as typed. Each reader throws Fault `usage.invalid` for an unsuitable value. */
export interface Given {
  /** A required option. */
  text(option: string): string;
  optionalText(option: string): string | undefined;
  list(option: string): readonly string[];
  flag(option: string): boolean;
  /** `90d`, `12h`, `30m` or `20s`, in milliseconds. */
  duration(option: string): number | undefined;
  /** A whole number within bounds. */
  number(option: string, min: number, max: number): number | undefined;
  arg(name: string): string;
  optionalArg(name: string): string | undefined;
}

export const STATE_OPTION = { state: { type: "string" } } as const;
export const JSON_OPTION = { json: { type: "boolean" } } as const;
export const COUNT_OPTION = { count: { type: "string", short: "n" } } as const;

/** @throws Fault `usage.invalid`. */
export function parse(command: HubCommand, argv: readonly string[]): Given {
  const { values, positionals } = parseArguments(command, argv);
  const required = command.args.filter((name) => !name.endsWith("?")).length;
  if (positionals.length < required || positionals.length > command.args.length)
    throw new Fault(
      "usage.invalid",
      `${command.name} takes ${describe(command.args)}; it got ${counted(positionals.length, "argument")}`,
    );

  const optionalText = (option: string): string | undefined => {
    const value = values[option];
    return typeof value === "string" ? value : undefined;
  };
  const text = (option: string): string => {
    const value = optionalText(option);
    if (value === undefined || value === "") throw new Fault("usage.invalid", `${command.name} needs --${option}`);
    return value;
  };
  const optionalArg = (name: string): string | undefined => positionals[command.args.indexOf(name)];
  return {
    text,
    optionalText,
    list: (option) => [values[option] ?? []].flat().filter((each) => typeof each === "string"),
    flag: (option) => values[option] === true,
    number: (option, min, max) => {
      const value = optionalText(option);
      if (value === undefined) return undefined;
      if (!/^\d{1,9}$/.test(value) || Number(value) < min || Number(value) > max)
        throw new Fault("usage.invalid", `--${option} must be a number from ${min} to ${max}, got ${quoted(value)}`);
      return Number(value);
    },
    duration: (option) => {
      const value = optionalText(option);
      return value === undefined ? undefined : duration(option, value);
    },
    arg: (name) => {
      const value = optionalArg(name);
      if (value === undefined) throw new Fault("usage.invalid", `${command.name} needs ${name}`);
      return value;
    },
    optionalArg,
  };
}

function parseArguments({ options }: HubCommand, argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options, allowPositionals: true, strict: true });
  } catch (error) {
    throw new Fault("usage.invalid", argumentErrorText(error), { cause: error });
  }
}

function describe(args: readonly string[]): string {
  if (args.length === 0) return "no arguments";
  return args.map((name) => (name.endsWith("?") ? `[${name.slice(0, -1)}]` : name)).join(" ");
}

const UNITS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

function duration(option: string, text: string): number {
  const match = /^(\d{1,6})([smhd])$/.exec(text);
  const unit = UNITS[match?.[2] ?? ""];
  if (match?.[1] === undefined || unit === undefined)
    throw new Fault("usage.invalid", `--${option} must be a number with s, m, h or d, such as 90d; got ${quoted(text)}`);
  return Number(match[1]) * unit;
}
