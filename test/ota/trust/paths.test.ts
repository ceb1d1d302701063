import fc from "fast-check";
import { test } from "tap";
import { covers, matchesPattern } from "../../../ota/trust/paths.ts";
import { sha256 } from "../../lab/counterparts/repository.ts";

test("[OTA-10] the patterns of TUF 4.5", async (t) => {
  for (const [pattern, path, matches] of [
    ["targets/*.tgz", "targets/foo.tgz", true],
    ["targets/*.tgz", "targets/foo.txt", false],
    ["foo-version-?.tgz", "foo-version-2.tgz", true],
    ["foo-version-?.tgz", "foo-version-alpha.tgz", false],
    ["*.tgz", "targets/foo.tgz", false],
    ["foo.tgz", "foo.tgz", true],
    ["os/*", "os/a/b", false],
    ["os/*", "os/", true],
    ["os/*", "osx/a", false],
    ["a/?", "a//", false],
    ["**", "abc", true],
    ["", "", true],
    ["*", "", true],
    ["?", "", false],
    ["[a]", "a", false],
  ] as const)
    t.equal(matchesPattern(pattern, path), matches, `${pattern} ${path}`);
});

test("[OTA-10] any pattern matches as the shell's does", async () => {
  const text = fc.string({ unit: fc.constantFrom("a", "b", "/", "-"), maxLength: 8 });
  const pattern = fc
    .string({ unit: fc.constantFrom("a", "b", "/", "*", "?"), maxLength: 8 })
    .filter((one) => !one.includes("**"));
  fc.assert(
    fc.property(pattern, text, (one, path) => {
      const expression = one.replaceAll("*", "[^/]*").replaceAll("?", "[^/]");
      return matchesPattern(one, path) === new RegExp(`^${expression}$`, "u").test(path);
    }),
  );
});

test("[OTA-9] a pattern that is made to be slow is not slow", async (t) => {
  t.equal(matchesPattern("*a".repeat(200), "a".repeat(250).concat("b")), false);
});

test("[OTA-10] hash prefixes cover the paths whose SHA-256 begins with them", async (t) => {
  const delegation = { name: "bin", keyids: [], threshold: 1, terminating: false };
  const hash = sha256(Buffer.from("os/a"));
  t.equal(covers({ ...delegation, path_hash_prefixes: [hash.slice(0, 3)] }, "os/a"), true);
  t.equal(covers({ ...delegation, path_hash_prefixes: [hash.slice(1, 4)] }, "os/a"), false);
  t.equal(covers({ ...delegation, path_hash_prefixes: [] }, "os/a"), false);
});
