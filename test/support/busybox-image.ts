import { readFile } from 'node:fs/promises'
import { Readable } from 'node:stream'
import tar from 'tar-stream'
import { isStaticExecutable } from './elf.ts'

const BUSYBOX = '/bin/busybox'
/** The tools that the tests use; each is a link to busybox. */
const APPLETS = [
  'sh',
  'sleep',
  'echo',
  'cat',
  'ls',
  'id',
  'touch',
  'mkdir',
  'head',
  'yes',
  'dd',
  'seq',
  'sort',
  'env',
  'false',
  'httpd',
  'nslookup',
  'test',
  'tr',
  'true',
]

/** A root file system with a shell and little else, as an uncompressed tar: images for tests without the internet. */
export async function busyboxRootfs(): Promise<Readable> {
  rootfs ??= buildRootfs()
  return streamOf(await rootfs)
}

let rootfs: Promise<Buffer> | undefined

async function buildRootfs(): Promise<Buffer> {
  let binary: Buffer
  try {
    binary = await readFile(BUSYBOX)
    if (!isStaticExecutable(BUSYBOX)) throw new Error('it is not statically linked')
  } catch (error) {
    throw new Error(`${BUSYBOX} is needed for test images; install the package busybox-static`, {
      cause: error,
    })
  }
  const pack = tar.pack()
  for (const name of ['bin/', 'etc/', 'root/']) pack.entry({ name, type: 'directory', mode: 0o755 })
  pack.entry({ name: 'tmp/', type: 'directory', mode: 0o1777 })
  pack.entry({ name: 'bin/busybox', mode: 0o755 }, binary)
  for (const applet of APPLETS) pack.entry({ name: `bin/${applet}`, type: 'symlink', linkname: 'busybox' })
  pack.entry(
    { name: 'etc/passwd', mode: 0o644 },
    'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n',
  )
  pack.entry({ name: 'etc/group', mode: 0o644 }, 'root:x:0:\nnogroup:x:65534:\n')
  return finish(pack)
}

/** A build context of these files, as an uncompressed tar. */
export async function contextOf(files: Record<string, string>): Promise<Readable> {
  const pack = tar.pack()
  for (const [name, content] of Object.entries(files)) pack.entry({ name, mode: 0o644 }, content)
  return streamOf(await finish(pack))
}

async function finish(pack: tar.Pack): Promise<Buffer> {
  pack.finalize()
  const chunks: Buffer[] = []
  for await (const chunk of pack as AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks)
}

const CHUNK_BYTES = 64 * 1024

/** In pieces, as a file would come. */
function streamOf(bytes: Buffer): Readable {
  const count = Math.ceil(bytes.length / CHUNK_BYTES)
  return Readable.from(
    Array.from({ length: count }, (_, index) =>
      bytes.subarray(index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES),
    ),
    { objectMode: false },
  )
}
