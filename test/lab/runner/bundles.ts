// Decides whether chosen test files need the bundles under dist/, so that a unit test does not wait
// for a build that it never uses.
import { existsSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { importsOf, PROJECT, readProjectFile } from "./sources.ts";

/** The module that says where a program of ours lies: a file that imports it starts programs. */
const STARTS_PROGRAMS = "test/lab/runner/programs.ts";
/** A test that asks for the bundles as a part of the machine reads dist/ itself. */
const ASKS_FOR_BUNDLES = /\bneeds\([^()]*"bundles"/u;
/** A program that a test starts from its source. */
const CHILD = /new URL\("(\.[^"]+\.ts)", import\.meta\.url\)/gu;

/**
 * Follows the imports of the files, and the sources that they start as programs.
 * @param paths of test files, relative to the project.
 */
export function needBundles(paths: readonly string[]): boolean {
  const waiting = paths.map((path) => normalize(path));
  const seen = new Set(waiting);
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    if (path === STARTS_PROGRAMS) return true;
    if (!existsSync(join(PROJECT, path))) continue;
    const text = readProjectFile(path);
    if (path.startsWith("test/") && ASKS_FOR_BUNDLES.test(text)) return true;
    for (const target of targetsIn(path, text)) {
      if (seen.has(target)) continue;
      seen.add(target);
      waiting.push(target);
    }
  }
  return false;
}

function targetsIn(path: string, text: string): readonly string[] {
  const imported = importsOf(path, text).flatMap(({ target, typeOnly }) => (target === undefined || typeOnly ? [] : [target]));
  const started = [...text.matchAll(CHILD)].map(([, specifier = ""]) => normalize(join(dirname(path), specifier)));
  return [...imported, ...started];
}
