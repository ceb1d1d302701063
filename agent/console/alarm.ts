// The console's alarm: what whoever is at the cable must learn without asking, such as "TPM
// missing". [ID-73]

export interface Alarm {
  readonly words: string | undefined;
  /**
   * Prints new words at once where nobody is in a session, else after it. The same words are
   * printed once, so that a line to which nobody listens does not fill.
   */
  raise(words: string | undefined): void;
  /** Runs `wait`, during which nobody is in a session. @throws what `wait` and `print` throw. */
  during<T>(wait: () => Promise<T>, print: (words: string) => Promise<void>): Promise<T>;
}

/** @param lost gets the fault of a line that ended while it was printed. */
export function createAlarm(lost: (error: unknown) => void): Alarm {
  return new OnceAlarm(lost);
}

class OnceAlarm implements Alarm {
  readonly #lost: (error: unknown) => void;
  #words: string | undefined;
  #isPrinted = true;
  #print: ((words: string) => Promise<void>) | undefined;

  constructor(lost: (error: unknown) => void) {
    this.#lost = lost;
  }

  get words(): string | undefined {
    return this.#words;
  }

  raise(words: string | undefined): void {
    if (words === this.#words) return;
    this.#words = words;
    this.#isPrinted = words === undefined;
    this.#tell().catch(this.#lost);
  }

  async during<T>(wait: () => Promise<T>, print: (words: string) => Promise<void>): Promise<T> {
    this.#print = print;
    try {
      await this.#tell();
      return await wait();
    } finally {
      this.#print = undefined;
    }
  }

  async #tell(): Promise<void> {
    if (this.#isPrinted || this.#words === undefined || this.#print === undefined) return;
    this.#isPrinted = true;
    await this.#print(this.#words);
  }
}
