/** The path without empty and `.` segments; undefined when it is absolute, climbs with `..` or holds what no path of ours needs. */
export function normalizeRelativePath(path: string): string | undefined {
  const segments = path.split('/')
  if (path.startsWith('/') || segments.includes('..') || !path.isWellFormed()) return undefined
  if (segments.some((segment) => Buffer.byteLength(segment) > 255)) return undefined
  if (/[\p{Cc}\\]/u.test(path)) return undefined
  return segments.filter((segment) => segment !== '' && segment !== '.').join('/')
}
