import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

/** A secret that is easy to find, in the forms that it may take on its way. */
export function makeCanary(name: string): { value: string; forms: string[] } {
  const value = `canary-${name}-5d0f2c9b7e41`
  const bytes = Buffer.from(value)
  return {
    value,
    // A base64 of something around it shifts: the inner part of each alignment is looked for.
    forms: [
      value,
      bytes.toString('hex'),
      encodeURIComponent(value),
      ...[0, 1, 2].map((shift) =>
        Buffer.concat([Buffer.alloc(shift), bytes])
          .toString('base64')
          .slice(4, -6),
      ),
    ],
  }
}

/** Every file below a directory as text. */
export async function readAll(directory: string): Promise<{ name: string; text: string }[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  return Promise.all(files.map(async (name) => ({ name, text: await readFile(name, 'latin1') })))
}
