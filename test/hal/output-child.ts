// A service that writes lines to stderr: as many as asked for on standard input, one number a line.
// It says on stdout when they are written or lost.
import { createInterface } from "node:readline";
import { journal } from "../../hal/linux/index.ts";

const say = journal("child");

for await (const count of createInterface({ input: process.stdin })) {
  for (let line = 0; line < Number(count); line++) {
    say("x".repeat(1000));
    await new Promise((resolve) => void setImmediate(resolve));
  }
  process.stdout.write(`did ${count}, ${process.stderr.writableLength} wait\n`);
}
