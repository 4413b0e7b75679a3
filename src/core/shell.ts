/** A path as one word of a POSIX shell: quoted where something in it means more there, as a space does. */
export const shellWord = (path: string): string => (/^[\w@%+=:,./~-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`);

/**
 * Text in which the home folder is called ~, in a command as well as in a sentence: a notebook with it can be given to others.
 * @param home without a slash at the end; nothing changes where it is "/" or empty
 */
export function withoutHome(text: string, home: string): string {
  if (home.length < 2) return text;
  // a shell reads no ~ within quotes
  return text.replaceAll(`'${home}/`, "~/'").replace(new RegExp(`(?<![\\w./-])${home.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")}(?=/|$|[\\s,;:)])`, "g"), "~");
}
