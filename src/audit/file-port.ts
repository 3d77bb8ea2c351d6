import {
  closeSync,
  constants,
  fdatasync,
  fsyncSync,
  ftruncateSync,
  openSync,
  statSync,
  writeSync,
} from "node:fs";

/** The file system as the audit writer needs it; tests put a full or broken disk in its place. */
export interface AuditFilePort {
  /** Makes a new file, mode 0600, for appending. Throws if there is one already. */
  create(path: string): number;
  /** Opens a file that is there, for appending. Follows no symbolic link. */
  open(path: string): number;
  /** Appends all of `bytes` or throws, in which case a part may have been written. */
  write(fd: number, bytes: Uint8Array): void;
  truncate(fd: number, bytes: number): void;
  /** undefined: there is no such file. */
  stat(path: string): { readonly inode: number; readonly bytes: number } | undefined;
  sync(fd: number): Promise<void>;
  /** Makes names in the folder durable. */
  syncFolder(path: string): void;
  close(fd: number): void;
}

const APPEND = constants.O_RDWR | constants.O_APPEND | constants.O_NOFOLLOW;

export const nodeFiles: AuditFilePort = {
  create: (path) => openSync(path, APPEND | constants.O_CREAT | constants.O_EXCL, 0o600),
  open: (path) => openSync(path, APPEND),
  write: (fd, bytes) => {
    let at = 0;
    while (at < bytes.length) at += writeSync(fd, bytes, at);
  },
  truncate: (fd, bytes) => ftruncateSync(fd, bytes),
  stat: (path) => {
    const found = statSync(path, { throwIfNoEntry: false });
    return found === undefined ? undefined : { inode: found.ino, bytes: found.size };
  },
  sync: (fd) =>
    new Promise((resolve, reject) => {
      fdatasync(fd, (error) => (error === null ? resolve() : reject(error)));
    }),
  syncFolder: (path) => {
    const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  },
  close: (fd) => closeSync(fd),
};
