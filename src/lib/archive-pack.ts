import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type Header, pack, type Pack } from 'tar-stream'

/** What a tar archive says about one entry, and what is in it. Names have slashes and are relative. */
export type PackedEntry = {
  name: string
  /** The permission bits. */
  mode: number
  mtime_ms?: number
  /** User and group in one number; left out (0) where it means nothing, as on another machine. */
  owner?: number
} & (
  | { kind: 'directory' }
  | { kind: 'symlink'; target: string }
  | { kind: 'file'; content: Buffer }
  /** `read` gives exactly `size` bytes. */
  | { kind: 'file'; size: number; read: () => AsyncIterable<Buffer> }
)

type Headers = Pick<Header, 'name'> & Partial<Header>

/** An archive of the entries, made as it is read; nothing runs ahead of the reader by more than a buffer. An error of theirs is its error. */
export function packArchive(entries: AsyncIterable<PackedEntry> | Iterable<PackedEntry>): Readable {
  const archive = pack()
  void fill(archive, entries).then(
    () => archive.finalize(),
    (error: unknown) => archive.destroy(error as Error),
  )
  return Readable.from(archive as AsyncIterable<Buffer>, { objectMode: false })
}

async function fill(
  archive: Pack,
  entries: AsyncIterable<PackedEntry> | Iterable<PackedEntry>,
): Promise<void> {
  for await (const entry of entries) {
    const headers: Headers = {
      name: entry.name,
      mode: entry.mode,
      mtime: new Date(entry.mtime_ms ?? 0),
      uid: entry.owner ?? 0,
      gid: entry.owner ?? 0,
    }
    if (entry.kind === 'directory')
      await put(archive, { ...headers, name: `${entry.name}/`, type: 'directory' })
    else if (entry.kind === 'symlink')
      await put(archive, { ...headers, type: 'symlink', linkname: entry.target })
    else if ('content' in entry) await put(archive, { ...headers, type: 'file' }, entry.content)
    else
      await pipeline(
        Readable.from(entry.read(), { objectMode: false }),
        archive.entry({ ...headers, type: 'file', size: entry.size }),
      )
  }
}

function put(archive: Pack, headers: Headers, content?: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = (error?: Error | null): void => (error ? reject(error) : resolve())
    if (content) archive.entry(headers, content, done)
    else archive.entry(headers, done)
  })
}
