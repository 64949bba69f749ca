import { pipeline } from 'node:stream/promises'
import { constants, createGunzip, createZstdDecompress, type Gunzip, type ZstdDecompress } from 'node:zlib'
import { badArchive, translateDecodeError } from './archive-error.ts'
import { MAX_WINDOW_LOG, ZstdFrames } from './archive-zstd.ts'

export const ARCHIVE_FORMATS = ['tar', 'tar.gz', 'tar.zst'] as const
export type ArchiveFormat = (typeof ARCHIVE_FORMATS)[number]

/** Small pieces cost a trip to the thread pool each: 16 KiB decode at a third of the speed. */
const DECODED_CHUNK = 128 * 1024
export const SNIFF_BYTES = 4

/** What the first SNIFF_BYTES of a body look like. A tar shows itself only by its first header's checksum. */
export function sniffFormat(head: Buffer): ArchiveFormat {
  if (head[0] === 0x1f && head[1] === 0x8b) return 'tar.gz'
  const magic = head.length >= SNIFF_BYTES ? head.readUInt32LE(0) : 0
  const isZstd = magic === 0xfd2fb528 || (magic & 0xfffffff0) >>> 0 === 0x184d2a50
  return isZstd ? 'tar.zst' : 'tar'
}

/**
 * The tar stream inside a compressed one, in constant memory, with the decompressor held back by the reader. Throws BAD_ARCHIVE for damaged
 * or cut data and for anything behind its end. Leaving early destroys `source` when it is a stream.
 */
export async function* decodeArchive(
  format: ArchiveFormat,
  source: AsyncIterable<Buffer>,
): AsyncGenerator<Buffer, void, undefined> {
  if (format === 'tar') {
    yield* source
    return
  }
  const decoder = format === 'tar.gz' ? gunzip() : zstd()
  let given = 0
  const feed = async function* (): AsyncGenerator<Buffer, void, undefined> {
    for await (const chunk of format === 'tar.gz' ? source : cutFrames(source)) {
      given += chunk.length
      yield chunk
    }
  }
  let failure: unknown
  const fed = pipeline(feed, decoder).catch((error: unknown) => {
    failure ??= error
  })
  try {
    for await (const chunk of decoder) yield chunk as Buffer
  } catch (error) {
    throw translateDecodeError(failure ?? error, format === 'tar.gz' ? 'gzip' : 'zstd')
  }
  // zlib takes zeros and some garbage behind a gzip member for its end and reads no further.
  if (decoder.bytesWritten !== given) throw badArchive('there is something behind the compressed data')
  await fed
}

function gunzip(): Gunzip {
  return createGunzip({ chunkSize: DECODED_CHUNK })
}

function zstd(): ZstdDecompress {
  return createZstdDecompress({
    chunkSize: DECODED_CHUNK,
    params: { [constants.ZSTD_d_windowLogMax]: MAX_WINDOW_LOG },
  })
}

async function* cutFrames(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  const frames = new ZstdFrames()
  for await (const chunk of source) yield* frames.split(chunk)
  frames.end()
}
