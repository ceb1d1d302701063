// A plugin for esbuild that makes our modules import a name from the file that declares it instead
// of from a folder's door (index.ts). esbuild puts a file into the chunk of all programs that reach
// it by imports, used or not: through doors every program would load nearly every file.
import { readFile } from "node:fs/promises";
import { dirname, relative, resolve } from "node:path";
import type { Plugin } from "esbuild";

/** Where a name is declared, and what it is called there. */
interface Origin {
  readonly file: string;
  readonly name: string;
}

type Reader = (file: string) => Promise<string>;

const IMPORT = /^import \{(?<names>[^}]*)\} from "(?<from>\.[^"]+\.ts)";$/gmu;
const EXPORT_FROM = /^export \{(?<names>[^}]*)\} from "(?<from>\.[^"]+\.ts)";$/gmu;
const EXPORT_ALL = /^export \* from "(?<from>\.[^"]+\.ts)";$/gmu;

/** Our modules have no effects when they are loaded, so a door that nobody needs is left out. */
export function directImports(project: string): Plugin {
  return {
    name: "direct-imports",
    setup(context) {
      const texts = new Map<string, Promise<string>>();
      const read: Reader = (file) => {
        const known = texts.get(file) ?? readFile(file, "utf8");
        texts.set(file, known);
        return known;
      };
      context.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
        if (!path.startsWith(project) || path.includes("/node_modules/")) return undefined;
        return { contents: await withDirectImports(path, read), loader: "ts" };
      });
    },
  };
}

async function withDirectImports(file: string, read: Reader): Promise<string> {
  const text = await read(file);
  let changed = text;
  for (const { 0: statement, groups } of text.matchAll(IMPORT)) {
    const from = resolve(dirname(file), groups?.["from"] ?? "");
    const lines: string[] = [];
    for (const { name, as } of specifiers(groups?.["names"] ?? "")) {
      // A name that is not found is left to esbuild, which says so in its own words.
      const origin = (await originOf(from, name, read)) ?? { file: from, name };
      lines.push(`import { ${origin.name} as ${as} } from "./${relative(dirname(file), origin.file)}";`);
    }
    changed = changed.replace(statement, () => lines.join(" "));
  }
  return changed;
}

async function originOf(file: string, name: string, read: Reader): Promise<Origin | undefined> {
  const text = await read(file);
  if (new RegExp(`^export (?:async )?(?:function|const|class) ${name}\\b`, "mu").test(text)) return { file, name };
  for (const { groups } of text.matchAll(EXPORT_FROM)) {
    const found = specifiers(groups?.["names"] ?? "").find(({ as }) => as === name);
    if (found !== undefined) return originOf(resolve(dirname(file), groups?.["from"] ?? ""), found.name, read);
  }
  for (const { groups } of text.matchAll(EXPORT_ALL)) {
    const found = await originOf(resolve(dirname(file), groups?.["from"] ?? ""), name, read);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The values among the names in braces. Types do not outlive the compiler. */
function specifiers(names: string): readonly { readonly name: string; readonly as: string }[] {
  return names
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "" && !part.startsWith("type "))
    .map((part) => {
      const [name = "", as = name] = part.split(" as ");
      return { name, as };
    });
}
