/** Folders that only their owner may enter. */
export { makeFolders } from "./make-folders.ts";
