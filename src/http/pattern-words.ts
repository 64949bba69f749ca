/** What the patterns that people meet ask for, in words. Those of fields that only programs fill in stay as they are. */
const WORDS: ReadonlyMap<string, string> = new Map([
  [
    '^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$',
    'must be 1 to 40 lower-case letters, digits and hyphens, without a hyphen at either end',
  ],
  [
    '^[A-Za-z0-9][A-Za-z0-9._@+-]{0,62}$',
    'must be 1 to 63 letters, digits and any of . _ @ + -, and begin with a letter or digit',
  ],
  ['^[A-Za-z_][A-Za-z0-9_]*$', 'must be letters, digits and underscores, and not begin with a digit'],
  [
    '^[A-Za-z0-9][A-Za-z0-9_.-]*$',
    'must be letters, digits and any of . _ -, and begin with a letter or digit',
  ],
  ['^/[\\x21-\\x7e]*$', 'must begin with a slash, and hold nothing but visible ASCII characters'],
])

/** `must be lower-case letters, ...`; undefined for a pattern that has no words. */
export function patternWords(pattern: unknown): string | undefined {
  return typeof pattern === 'string' ? WORDS.get(pattern) : undefined
}

/** The patterns that have words. */
export const WORDED_PATTERNS: readonly string[] = [...WORDS.keys()]
