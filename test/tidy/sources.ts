import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join, posix, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";

/** One file of the repository; `path` is from its root, with slashes. */
export interface SourceFile {
  readonly path: string;
  readonly text: string;
}

/** The folder that holds package.json, found upward: this file runs from `dist`. */
export const repositoryRoot: string = rootAbove(dirname(fileURLToPath(import.meta.url)));

function rootAbove(folder: string): string {
  return existsSync(join(folder, "package.json")) ? folder : rootAbove(dirname(folder));
}

/** The TypeScript files under `folder`, generated ones left out. */
export function typescriptFiles(folder: string): readonly SourceFile[] {
  return filesUnder(join(repositoryRoot, folder))
    .filter((path) => path.endsWith(".ts") && !path.startsWith("src/proto/gen/"))
    .map((path) => readSource(path));
}

/** Every file that git tracks or would add, or, outside a checkout, those of the known folders. */
export function trackedFiles(): readonly string[] {
  if (!existsSync(join(repositoryRoot, ".git"))) {
    return ["src", "test", "policies"].flatMap((name) => filesUnder(join(repositoryRoot, name)));
  }
  const args = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"];
  const listed = execFileSync("git", args, { cwd: repositoryRoot, encoding: "utf8" });
  return listed.split("\0").filter((path) => path && existsSync(join(repositoryRoot, path)));
}

export function readSource(path: string): SourceFile {
  return { path, text: readFileSync(join(repositoryRoot, path), "utf8") };
}

function filesUnder(folder: string): readonly string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(repositoryRoot, join(entry.parentPath, entry.name)))
    .map((path) => path.split(sep).join("/"))
    .toSorted();
}

const COMMENT_OR_STRING =
  /("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`)|\/\/[^\n]*|\/\*[\s\S]*?\*\//g;

/** The text without comments, its line count kept. */
export function withoutComments(text: string): string {
  return text.replace(
    COMMENT_OR_STRING,
    (match: string, string: string | undefined) => string ?? match.replace(/[^\n]/g, ""),
  );
}

/** The text without comments and with every string literal empty. */
export function codeOnly(text: string): string {
  return text.replace(COMMENT_OR_STRING, (match: string, string: string | undefined) =>
    string === undefined ? match.replace(/[^\n]/g, "") : '""',
  );
}

const IMPORT =
  /(?:^|\n)\s*(?:import|export)\b[^;"']*?\bfrom\s*"([^"]+)"|(?:^|\n)\s*import\s*"([^"]+)"|\bimport\(\s*"([^"]+)"/g;

/** What a file imports: repository paths for relative ones, package or `node:` names as they are. */
export function importsOf(file: SourceFile): readonly string[] {
  const found = [...withoutComments(file.text).matchAll(IMPORT)];
  return found.map((match) => {
    const target = match[1] ?? match[2] ?? match[3] ?? "";
    return target.startsWith(".") ? posix.join(posix.dirname(file.path), target) : target;
  });
}
