import { badArchive, SPARSE } from './archive-error.ts'
import { decodeName, type RawHeader, readPaxRecords, requireUtf8 } from './archive-header.ts'

/** Extended attributes of big files have filled some tens of KiB; nothing sound needs more than this. */
const MAX_PAX_BYTES = 256 * 1024
const MAX_LONG_NAME_BYTES = 8 * 1024

/** Type flags of headers that only describe the entry behind them, and how large their bodies may be. */
const LIMITS: Readonly<Record<string, number>> = {
  x: MAX_PAX_BYTES,
  g: MAX_PAX_BYTES,
  L: MAX_LONG_NAME_BYTES,
  K: MAX_LONG_NAME_BYTES,
}

/** A header with all that extended ones say of it. */
export type FullHeader = Omit<RawHeader, 'name' | 'linkname'> & { name: string; linkname: string }

/** Gathers the pax (`x`, `g`) and GNU (`L`, `K`) headers in front of an entry and applies them to it. */
export class ArchiveExtensions {
  readonly #anyBytes: boolean
  #pax: Map<string, Buffer> | undefined
  #longName: string | undefined
  #longLink: string | undefined

  /** `anyBytes`: names need not be UTF-8. */
  constructor(anyBytes = false) {
    this.#anyBytes = anyBytes
  }

  /** Whether this header only describes the next one; throws when it is too large to be meant well. */
  isExtension(header: RawHeader): boolean {
    const limit = LIMITS[header.typeflag]
    if (limit === undefined) return false
    if (header.size > limit)
      throw badArchive(`an extended header of ${header.size} bytes (at most ${limit})`, header.name.text)
    return true
  }

  /** Whether a described entry is still missing. */
  get pending(): boolean {
    return this.#pax !== undefined || this.#longName !== undefined || this.#longLink !== undefined
  }

  /** Takes the body of an extended header. */
  take(typeflag: string, body: Buffer): void {
    if (typeflag === 'g') return refuseGlobal(readPaxRecords(body))
    const present = typeflag === 'x' ? this.#pax : typeflag === 'L' ? this.#longName : this.#longLink
    if (present !== undefined) throw badArchive('two extended headers describe one entry')
    if (typeflag === 'x') this.#pax = readPaxRecords(body)
    else if (typeflag === 'L') this.#longName = readLongName(body, this.#anyBytes)
    else this.#longLink = readLongName(body, this.#anyBytes)
  }

  /** What the header means with all that was said in front of it; forgets that. */
  apply(header: RawHeader): FullHeader {
    const pax = this.#pax ?? new Map<string, Buffer>()
    const path = pax.get('path')
    const linkpath = pax.get('linkpath')
    const hasLongName = this.#longName !== undefined || this.#longLink !== undefined
    if (hasLongName && (path ?? linkpath) !== undefined) {
      throw badArchive('both a GNU and a pax header name it', this.#longName ?? header.name.text)
    }
    const full = {
      ...header,
      name: path
        ? decodeName(path, this.#anyBytes)
        : (this.#longName ?? requireUtf8(header.name, this.#anyBytes)),
      linkname: linkpath
        ? decodeName(linkpath, this.#anyBytes)
        : (this.#longLink ?? readLink(header, this.#anyBytes)),
    }
    if (this.#pax) applyPax(full, pax)
    this.#pax = undefined
    this.#longName = undefined
    this.#longLink = undefined
    return full
  }
}

/** Some writers leave what they like in the field where there is no link. */
function readLink(header: RawHeader, anyBytes: boolean): string {
  return header.typeflag === '1' || header.typeflag === '2' ? requireUtf8(header.linkname, anyBytes) : ''
}

/** A global header may carry a comment (git archive does); one that names things would rename every entry behind it. */
function refuseGlobal(records: Map<string, Buffer>): void {
  for (const key of ['path', 'linkpath', 'size']) {
    if (records.has(key)) throw badArchive(`a global header sets "${key}" for all entries`)
  }
}

function readLongName(body: Buffer, anyBytes: boolean): string {
  const end = body.indexOf(0)
  return decodeName(end === -1 ? body : body.subarray(0, end), anyBytes)
}

function applyPax(header: FullHeader, pax: Map<string, Buffer>): void {
  for (const key of pax.keys()) {
    if (key.startsWith('GNU.sparse.')) throw badArchive(SPARSE, header.name)
  }
  header.size = readPaxNumber(pax, 'size', header)
  header.uid = readPaxNumber(pax, 'uid', header)
  header.gid = readPaxNumber(pax, 'gid', header)
  const mtime = Number(pax.get('mtime')?.toString('latin1') ?? Number.NaN)
  if (Number.isFinite(mtime)) header.mtime_ms = mtime * 1000
}

/** What a record says, or else the header itself. */
function readPaxNumber(pax: Map<string, Buffer>, key: 'size' | 'uid' | 'gid', header: FullHeader): number {
  const text = pax.get(key)?.toString('latin1')
  if (text === undefined) return header[key]
  const number = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN
  if (!Number.isSafeInteger(number)) throw badArchive(`its ${key} is not valid`, header.name)
  return number
}
