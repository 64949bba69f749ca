import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type Header, pack, type Pack } from 'tar-stream'

/** What a tar archive says about one entry, and what is in it. Names have slashes and are relative. */
export type PackedEntry = {
  name: string
  /** The permission bits. */
  mode: number
  mtime_ms?: number
  /** The user, and the group unless that is given; left out (0) where it means nothing, as on another machine. */
  owner?: number
  group?: number
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
    const headers = headersOf(entry)
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

/** The largest user or group that has room in a header itself; others are cut there and written in full in front of it. */
const MAX_OWNER = 0o777777

function headersOf({ name, mode, mtime_ms = 0, owner = 0, group = owner }: PackedEntry): Headers {
  const isLarge = Math.max(owner, group) > MAX_OWNER
  return {
    name,
    mode,
    mtime: new Date(mtime_ms),
    uid: owner,
    gid: group,
    ...(isLarge && { pax: { uid: String(owner), gid: String(group) } }),
  }
}

function put(archive: Pack, headers: Headers, content?: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = (error?: Error | null): void => (error ? reject(error) : resolve())
    if (content) archive.entry(headers, content, done)
    else archive.entry(headers, done)
  })
}
