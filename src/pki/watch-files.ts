import { unwatchFile, watchFile } from "node:fs";

/** So often files of certificates are looked at. */
const CHECK_MS = 1000;

/**
 * Calls `onChange` when one of the files was written, replaced, made or removed: by what the file
 * system tells of the file that a path leads to, so that a link that is turned to other files counts,
 * as Kubernetes replaces them. Polled, since notices of changes do not come from every file system.
 * Does not keep the process alive; answers what ends it.
 */
export function watchFiles(paths: readonly string[], onChange: () => void): () => void {
  const listeners = paths.map((path) => {
    // One listener each: the same path may be given twice, and unwatching takes all of a listener.
    const listener = (): void => onChange();
    watchFile(path, { interval: CHECK_MS, persistent: false }, listener);
    return { path, listener };
  });
  return () => {
    for (const { path, listener } of listeners) unwatchFile(path, listener);
  };
}
