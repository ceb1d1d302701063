// The technician's end of the serial cable: types, and reads the answer.
import type { SerialConnection } from "../../hal/ports.ts";
import { Fault } from "../../hal/fault.ts";
import { linuxSerialPort } from "../../hal/linux/serial/index.ts";
import { HANG_MS } from "../lab/runner/process.ts";

export interface Terminal {
  type(text: string): Promise<void>;
  /**
   * Everything received since the last call, once `pattern` is in it. @throws Fault
   * `process.timeout` after `timeoutMs`.
   */
  until(pattern: RegExp, timeoutMs?: number): Promise<string>;
  close(): Promise<void>;
}

export async function openTerminal(path: string): Promise<Terminal> {
  const line: SerialConnection = await linuxSerialPort({ path, baudRate: 115_200 }).open();
  const received = { text: "", more: Promise.withResolvers<void>() };
  void (async () => {
    for await (const bytes of line.input) {
      received.text += Buffer.from(bytes).toString("latin1");
      received.more.resolve();
      received.more = Promise.withResolvers<void>();
    }
  })();
  return {
    type: (text) => line.write(Buffer.from(text)),
    async until(pattern, timeoutMs = HANG_MS) {
      const late = AbortSignal.timeout(timeoutMs);
      while (!pattern.test(received.text)) {
        if (late.aborted)
          throw new Fault(
            "process.timeout",
            `the serial line did not show ${pattern} within ${timeoutMs} ms; it showed:\n${received.text}`,
          );
        await Promise.race([received.more.promise, new Promise((resolve) => setTimeout(resolve, 50))]);
      }
      const text = received.text.replaceAll("\r\n", "\n");
      received.text = "";
      return text;
    },
    close: () => line.close(),
  };
}
