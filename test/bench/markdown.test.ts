// The bench as a document.
import { test } from "tap";
import { markdown } from "./markdown.ts";

test("a measure that the machine cannot make is named in the document, with the reason", async (t) => {
  t.match(markdown([], true, [{ name: "tpm", why: "needs swtpm: apt-get install swtpm" }]), /## tpm\n\nSKIPPED: needs swtpm/);
});
