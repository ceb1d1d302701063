// Node's inspector, which has no place in a program that keeps keys.

/**
 * Keeps SIGUSR1 from opening the inspector on a port of the loopback, where every local user could
 * read and change this process. A listener takes the place of Node's own. Before it is there, the
 * option `--disable-sigusr1` does the same: in the units, and in the first line of what is started
 * by its name. [OPS-34]
 */
export function ignoreInspectorSignal(): void {
  process.on("SIGUSR1", () => undefined);
}
