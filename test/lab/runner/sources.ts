// The project's own sources as data, for the structural tests and the runner.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

export const PROJECT = fileURLToPath(new URL("../../../", import.meta.url));

export interface Source {
  /** Relative to the project, with forward slashes. */
  readonly path: string;
  readonly text: string;
  /**
   * The text with comments and the contents of string literals blanked and line breaks kept, for
   * patterns to be matched against.
   */
  readonly code: string;
  readonly imports: readonly Import[];
}

export interface Import {
  readonly specifier: string;
  /** Path within the project, when it is relative. */
  readonly target: string | undefined;
  /** Removed with the types: it cannot make a cycle at run time. */
  readonly typeOnly: boolean;
}

/** The files that git tracks or would track. */
export function projectFiles(): readonly string[] {
  const listed = execFileSync("git", ["ls-files", "-co", "--exclude-standard", "-z"], { cwd: PROJECT, encoding: "utf8" });
  return listed.split("\0").filter((path) => path !== "" && existsSync(join(PROJECT, path)));
}

export function readProjectFile(path: string): string {
  return readFileSync(join(PROJECT, path), "utf8");
}

export function sources(): readonly Source[] {
  return projectFiles()
    .filter((path) => path.endsWith(".ts") && !path.endsWith(".d.ts"))
    .map((path) => {
      const text = readProjectFile(path);
      return { path, text, code: blank(text), imports: importsOf(path, text) };
    });
}

/** @param path of the file, relative to the project. */
export function importsOf(path: string, text: string): readonly Import[] {
  const found: Import[] = [];
  const pattern = /^(?:import|export)\s+(type\s)?(?:[^;"']*?\sfrom\s+)?["']([^"']+)["']|\bimport\(\s*["']([^"']+)["']\s*\)/gmu;
  for (const match of text.matchAll(pattern)) {
    const specifier = match[2] ?? match[3] ?? "";
    const target = specifier.startsWith(".") ? normalize(join(dirname(path), specifier)) : undefined;
    found.push({ specifier, target, typeOnly: match[1] !== undefined });
  }
  return found;
}

/**
 * Blanks comments, strings and regular expressions in one pass over the tokens that matter.
 * Template literals keep the shape of their `${}` only roughly, which is enough for the patterns
 * here.
 */
function blank(text: string): string {
  const token =
    /\/\/[^\n]*|\/\*[\s\S]*?\*\/|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`|(?<=[=(,:!&|?;]\s*)\/(?![/*])(?:[^/\\\n[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/gu;
  return text.replaceAll(token, (found) => found.replaceAll(/[^\n]/gu, " "));
}
