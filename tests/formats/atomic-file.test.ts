import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  renameSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { ConfigError } from "../../src/errors/errors.ts";
import {
  removeStaleTemporaries,
  writeAtomically,
  writeDirectoryAtomically,
  writeFileAtomically,
} from "../../src/formats/atomic-file.ts";
import { messageOf, openWorkspace } from "./workspace.ts";

const text = (path: string): string => readFileSync(path, "utf8");
/** A process number that is free: that of a process which has ended. */
const deadPid = (): number => spawnSync(process.execPath, ["--version"]).pid;

describe("a file", () => {
  test("is created and replaced, with nothing left beside it", () => {
    using workspace = openWorkspace();
    writeFileAtomically(workspace.file("a"), "eins");
    writeFileAtomically(workspace.file("a"), "zwölf");
    expect(text(workspace.file("a"))).toBe("zwölf");
    writeFileAtomically(workspace.file("a"), Uint8Array.of(1, 2));
    expect([...workspace.bytes("a")]).toEqual([1, 2]);
    expect(readdirSync(workspace.file("."))).toEqual(["a"]);
  });

  test("stands under its name only once it is whole", () => {
    using workspace = openWorkspace();
    writeFileAtomically(workspace.file("a"), "old");
    writeAtomically(workspace.file("a"), (fd) => {
      writeSync(fd, "ne");
      expect(text(workspace.file("a"))).toBe("old");
      writeSync(fd, "w");
    });
    expect(text(workspace.file("a"))).toBe("new");
  });

  test("stays the old one when its writer throws, and the error is the writer's", () => {
    using workspace = openWorkspace();
    writeFileAtomically(workspace.file("a"), "old");
    const write = (): void =>
      writeAtomically(workspace.file("a"), (fd) => {
        writeSync(fd, "half");
        throw new RangeError("no more");
      });
    expect(messageOf(write)).toBe("RangeError: no more");
    expect(text(workspace.file("a"))).toBe("old");
    expect(readdirSync(workspace.file("."))).toEqual(["a"]);
  });

  test("stays the old one on a full disk, and the error says so", () => {
    // Linux and BSD have a device that is always full.
    if (!existsSync("/dev/full")) return;
    using workspace = openWorkspace();
    const path = workspace.file("a");
    writeFileAtomically(path, "old");
    const full = openSync("/dev/full", "w");
    const write = (): void => writeAtomically(path, () => writeSync(full, "x"));
    expect(write).toThrow(ConfigError);
    expect(messageOf(write)).toBe(`ConfigError: ${path} cannot be written: the disk is full`);
    closeSync(full);
    expect(text(path)).toBe("old");
    expect(readdirSync(workspace.file("."))).toEqual(["a"]);
  });

  test("stays the old one when it would exceed the size limit", () => {
    if (process.platform === "win32") return;
    using workspace = openWorkspace();
    const path = workspace.file("a");
    writeFileAtomically(path, "old");
    const module = new URL("../../src/formats/atomic-file.ts", import.meta.url).href;
    const script = `import { writeFileAtomically } from ${JSON.stringify(module)};
      try { writeFileAtomically(${JSON.stringify(path)}, new Uint8Array(1e6)); } catch (error) { console.log(error.message); }`;
    writeFileSync(workspace.file("script.mts"), script);
    const command = `ulimit -f 8; exec "${process.execPath}" --import tsx "${workspace.file("script.mts")}"`;
    // Without its cache tsx writes no file of its own, which the limit would also hit.
    const told = execFileSync("sh", ["-c", command], {
      encoding: "utf8",
      env: { ...process.env, TSX_DISABLE_CACHE: "1" },
    });
    expect(told).toBe(`${path} cannot be written: the file would exceed the size limit\n`);
    expect(text(path)).toBe("old");
    expect(readdirSync(workspace.file(".")).sort()).toEqual(["a", "script.mts"]);
  });

  test("is refused where there is no directory, and where a directory has its name", () => {
    using workspace = openWorkspace();
    const inside = workspace.file("none/a");
    expect(messageOf(() => writeFileAtomically(inside, ""))).toBe(
      `ConfigError: ${inside} cannot be written: there is no such directory`,
    );
    mkdirSync(workspace.file("d"));
    writeFileSync(workspace.file("d/x"), "");
    expect(messageOf(() => writeFileAtomically(workspace.file("d"), ""))).toContain(
      "a directory has that name",
    );
    expect(readdirSync(workspace.file("."))).toEqual(["d"]);
  });

  test("does not take another file's failure for its own", () => {
    using workspace = openWorkspace();
    const read = (): void => writeAtomically(workspace.file("a"), () => void text(workspace.file("absent")));
    expect(messageOf(read)).toMatch(/^Error: ENOENT: .*absent/);
  });

  test("needs the permission to write there", () => {
    using workspace = openWorkspace();
    mkdirSync(workspace.file("locked"));
    chmodSync(workspace.file("locked"), 0o500);
    // The superuser may write everywhere, but not make a file in sysfs.
    const place = process.getuid?.() === 0 ? "/sys/kernel" : workspace.file("locked");
    if (!existsSync(place) || process.platform === "win32") return;
    expect(messageOf(() => writeFileAtomically(join(place, "a"), ""))).toMatch(
      /^ConfigError: .*a cannot be written: (you have no permission to write there|that disk is read-only)$/,
    );
  });
});

const fillWith =
  (content: string) =>
  (temporary: string): void => {
    mkdirSync(join(temporary, "deep"));
    writeFileSync(join(temporary, "deep", "file"), content);
  };

describe("a directory", () => {
  test("is created and replaced whole: what only the old one had is gone", () => {
    using workspace = openWorkspace();
    const path = workspace.file("d");
    writeDirectoryAtomically(path, (temporary) => writeFileSync(join(temporary, "only-old"), ""));
    writeDirectoryAtomically(path, fillWith("new"));
    expect(readdirSync(path, { recursive: true, encoding: "utf8" }).sort()).toEqual([
      "deep",
      join("deep", "file"),
    ]);
    expect(text(join(path, "deep", "file"))).toBe("new");
    expect(readdirSync(workspace.file("."))).toEqual(["d"]);
  });

  test("stays the old one when its writer throws", () => {
    using workspace = openWorkspace();
    const path = workspace.file("d");
    writeDirectoryAtomically(path, fillWith("old"));
    const write = (): void =>
      writeDirectoryAtomically(path, (temporary) => {
        fillWith("half")(temporary);
        throw new RangeError("no more");
      });
    expect(messageOf(write)).toBe("RangeError: no more");
    expect(text(join(path, "deep", "file"))).toBe("old");
    expect(readdirSync(workspace.file("."))).toEqual(["d"]);
  });

  test("does not replace a file", () => {
    using workspace = openWorkspace();
    writeFileSync(workspace.file("d"), "file");
    expect(messageOf(() => writeDirectoryAtomically(workspace.file("d"), fillWith("")))).toBe(
      `ConfigError: ${workspace.file("d")} is a file, where a directory is to be written`,
    );
    expect(text(workspace.file("d"))).toBe("file");
  });
});

const leftover = (kind: "tmp" | "old", pid: number, name: string): string =>
  `.${kind}-${pid}-00000000-00000000-${name}`;

describe("recovery", () => {
  test("deletes the temporaries of dead writers and keeps everything else", () => {
    using workspace = openWorkspace();
    const dead = deadPid();
    writeFileSync(workspace.file(leftover("tmp", dead, "a")), "half");
    mkdirSync(workspace.file(leftover("tmp", dead, "d")));
    // A process of our number from before, as the first process of a container is.
    writeFileSync(workspace.file(leftover("tmp", process.pid, "b")), "half");
    writeFileSync(workspace.file(leftover("tmp", process.ppid, "c")), "at work");
    writeFileSync(workspace.file(".tmp-notes"), "not ours");
    removeStaleTemporaries(workspace.file("."));
    expect(readdirSync(workspace.file(".")).sort()).toEqual(
      [leftover("tmp", process.ppid, "c"), ".tmp-notes"].sort(),
    );
  });

  test("keeps what this process is writing", () => {
    using workspace = openWorkspace();
    writeFileAtomically(workspace.file("b"), "");
    writeAtomically(workspace.file("a"), (fd) => {
      removeStaleTemporaries(workspace.file("."));
      writeSync(fd, "a");
    });
    expect(text(workspace.file("a"))).toBe("a");
  });

  test("puts a directory back whose writer died between its two renames", () => {
    using workspace = openWorkspace();
    writeDirectoryAtomically(workspace.file("d"), (temporary) => writeFileSync(join(temporary, "x"), "old"));
    const old = leftover("old", deadPid(), "d");
    renameSync(workspace.file("d"), workspace.file(old));
    removeStaleTemporaries(workspace.file("."));
    expect(readdirSync(workspace.file("."))).toEqual(["d"]);
    expect(text(workspace.file("d/x"))).toBe("old");
  });

  test("deletes the set-aside directory whose successor is in place", () => {
    using workspace = openWorkspace();
    mkdirSync(workspace.file("d"));
    mkdirSync(workspace.file(leftover("old", deadPid(), "d")));
    removeStaleTemporaries(workspace.file("."));
    expect(readdirSync(workspace.file("."))).toEqual(["d"]);
  });

  test("of a place that does not exist does nothing", () => {
    using workspace = openWorkspace();
    expect(() => removeStaleTemporaries(workspace.file("none"))).not.toThrow();
  });
});

/** The generation of a text, every word of which must be the same. */
function generationOf(content: string): number {
  const words = new Set(content.trimEnd().split(" "));
  expect(words.size).toBe(1);
  expect(content.endsWith(" ")).toBe(true);
  expect(content.split(" ").length - 1).toBe(20_000);
  return Number([...words][0]);
}

describe("a writer killed at any moment", () => {
  test(
    "leaves, after recovery, the old or the new file and directory, each whole",
    { timeout: 120_000 },
    async () => {
      using workspace = openWorkspace();
      const place = workspace.file("place");
      mkdirSync(place);
      const script = fileURLToPath(new URL("generations.ts", import.meta.url));
      let newest = 0;
      for (let round = 0; round < 8; round += 1) {
        const writer = spawn(process.execPath, ["--import", "tsx", script, place, String(newest + 1)], {
          stdio: ["ignore", "pipe", "inherit"],
        });
        // Past a generation, so that there is something to lose, then anywhere within the next few.
        await once(writer.stdout, "data");
        await sleep(Math.random() * 60);
        writer.kill("SIGKILL");
        await once(writer, "exit");
        removeStaleTemporaries(place);
        expect(readdirSync(place).sort()).toEqual(["directory", "file"]);
        const parts = readdirSync(join(place, "directory")).sort();
        expect(parts).toEqual(["part-0", "part-1", "part-2", "part-3"]);
        const generations = new Set(parts.map((part) => generationOf(text(join(place, "directory", part)))));
        expect(generations.size).toBe(1);
        const ofDirectory = [...generations][0]!;
        const ofFile = generationOf(text(join(place, "file")));
        // The file of a generation is written before its directory.
        expect([ofDirectory, ofDirectory + 1]).toContain(ofFile);
        expect(ofDirectory).toBeGreaterThanOrEqual(newest);
        newest = ofDirectory;
      }
      expect(newest).toBeGreaterThanOrEqual(8);
    },
  );
});
