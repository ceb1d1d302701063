import { test } from "tap";
import { createCertificateStore } from "../../../provisioning/certificate/index.ts";
import { fakeFiles } from "../../lab/fakes/files.ts";

test("[ID-9] a new certificate lies beside the old one until it is swapped in", async (t) => {
  const store = createCertificateStore(fakeFiles());
  t.same(await store.load(), { current: undefined, next: undefined });
  await store.putCurrent("old");
  await store.putNext("new");
  t.same(await store.load(), { current: "old", next: "new" });
  await store.discardNext();
  t.same(await store.load(), { current: "old", next: undefined });
  await store.putNext("new");
  await store.swap();
  t.same(await store.load(), { current: "new", next: undefined });
  await store.swap();
  t.same(await store.load(), { current: "new", next: undefined }, "swapping nothing changes nothing");
});

test("[ID-9] [STA-1] a swap cut after any change leaves the old pair or the new certificate alone", async (t) => {
  for (const cut of [1, 2]) {
    const files = fakeFiles();
    await createCertificateStore(files).putCurrent("old");
    await createCertificateStore(files).putNext("new");
    files.faults.failAt(cut, "file.write-failed");
    await t.rejects(createCertificateStore(files).swap(), { code: "file.write-failed" });
    const found = await createCertificateStore(files).load();
    t.same(found, cut === 1 ? { current: "old", next: "new" } : { current: "new", next: undefined }, `cut at ${cut}`);
  }
});
