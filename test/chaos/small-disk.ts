import { spawnSync } from "node:child_process";
import { rmSync, rmdirSync, statfsSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/**
 * A disk of its own under a member's data folder, so that it can be filled: a file with ext4 on it,
 * mounted through a loop device, which takes root. With a real file system a full disk is what it is
 * for an operator: no space for some files while others still have room in their last block.
 */
export class SmallDisk implements Disposable {
  readonly #folder: string;
  readonly #image: string;

  private constructor(folder: string, image: string) {
    this.#folder = folder;
    this.#image = image;
  }

  /** Mounts a disk of `bytes` on an empty folder. Undefined where that is not possible here. */
  static mount(folder: string, bytes: number): SmallDisk | undefined {
    if (process.platform !== "linux" || process.getuid?.() !== 0) return undefined;
    const image = `${folder}.img`;
    const disk = new SmallDisk(folder, image);
    writeFileSync(image, "");
    truncateSync(image, bytes);
    const made =
      run("mkfs.ext4", ["-q", "-F", "-m", "0", image]) &&
      run("mount", ["-o", "loop", image, folder]);
    if (!made) {
      rmSync(image, { force: true });
      return undefined;
    }
    rmdirSync(join(folder, "lost+found"));
    return disk;
  }

  /** Leaves a few blocks at most. */
  fill(): void {
    // The member writes meanwhile, so what is left may be less than was asked for.
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const { bavail, bsize } = statfsSync(this.#folder);
      if (bavail === 0) return;
      const ballast = join(this.#folder, `${BALLAST}${attempt}`);
      run("fallocate", ["-l", String(bavail * bsize), ballast]);
    }
  }

  free(): void {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      rmSync(join(this.#folder, `${BALLAST}${attempt}`), { force: true });
    }
  }

  [Symbol.dispose](): void {
    run("umount", ["-l", this.#folder]);
    rmSync(this.#image, { force: true });
  }
}

const ATTEMPTS = 4;
const BALLAST = "ballast-";

function run(program: string, args: readonly string[]): boolean {
  return spawnSync(program, args, { stdio: "ignore" }).status === 0;
}
