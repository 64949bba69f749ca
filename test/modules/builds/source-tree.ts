import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Test } from 'tap'

/** A file's text, a link (`-> target`), an empty folder (name ends in a slash), or a file with a mode. */
export type SourceTree = Record<string, string | { text: string; mode: number }>

/** Writes a source to a temporary folder that goes with the test. */
export async function writeSource(t: Test, tree: SourceTree): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'berth-source-'))
  t.teardown(() => rm(root, { recursive: true, force: true }))
  for (const [name, content] of Object.entries(tree)) {
    const path = join(root, name)
    await mkdir(name.endsWith('/') ? path : dirname(path), { recursive: true })
    if (name.endsWith('/')) continue
    if (typeof content === 'string' && content.startsWith('-> ')) await symlink(content.slice(3), path)
    else await writeFile(path, typeof content === 'string' ? content : content.text)
    if (typeof content !== 'string') await chmod(path, content.mode)
  }
  return root
}
