import { parseTrailers, type ResponseFault } from './response-head.ts'

const TAB = 0x09
const LF = 0x0a
const CR = 0x0d
const SPACE = 0x20
const SEMICOLON = 0x3b
const DEL = 0x7f

const SIZE = 0
const EXTENSION = 1
const SIZE_LF = 2
const DATA = 3
const DATA_CR = 4
const DATA_LF = 5
const TRAILER = 6
const FINISHED = 7

/** Twelve digits are 2^48 bytes; a longer number can only be meant to overflow. */
const MAX_SIZE_DIGITS = 12
const MAX_EXTENSION_BYTES = 16 * 1024
const MAX_TRAILER_BYTES = 16 * 1024
const MAX_TRAILERS = 100

/** A larger piece of a chunk is handed on where it stands; what is smaller is gathered with its neighbours. */
const GATHERED_BYTES = 16 * 1024
/** Below this, copying byte by byte is faster than asking for it. */
const FEW_BYTES = 16

/** Gets the pieces of a decoded body. */
export interface ChunkSink {
  bodyPiece(buffer: Buffer, start: number, end: number): void
}

/**
 * Decodes the chunked transfer coding (RFC 9112, section 7.1) piece by piece, however small the chunks: what one call finds is handed on in few
 * pieces, for which it moves bytes within the buffer. Bare line feeds, signs, blanks and empty sizes are
 * refused: each has been used to make two parsers see different messages.
 */
export class ChunkedDecoder {
  fault: ResponseFault | undefined
  /** Names and values in turn; complete when `finished`. */
  trailers: string[] = []
  private state: number = SIZE
  private size = 0
  private digits = 0
  private extensionBytes = 0
  private trailerText = ''
  /** What has been found and not handed on yet, in the buffer of the present call. */
  private from = 0
  private to = 0
  private readonly strict: boolean

  /** `strict`: a trailer that would frame a message is a fault. */
  constructor(strict: boolean) {
    this.strict = strict
  }

  get finished(): boolean {
    return this.state === FINISHED
  }

  reset(): void {
    this.fault = undefined
    this.trailers = []
    this.state = SIZE
    this.size = 0
    this.digits = 0
    this.extensionBytes = 0
    this.trailerText = ''
  }

  /** Takes bytes from `start` to `end` and gives the index behind the last that belongs to the message. */
  decode(buffer: Buffer, start: number, end: number, sink: ChunkSink): number {
    let at = start
    while (at < end && this.fault === undefined && this.state !== FINISHED) {
      if (this.state === DATA) at = this.takeData(buffer, at, end, sink)
      else if (this.state === TRAILER) at = this.takeTrailer(buffer, at, end)
      else {
        this.takeByte(buffer[at] as number)
        at += 1
      }
    }
    this.handOn(buffer, sink)
    return at
  }

  private takeData(buffer: Buffer, at: number, end: number, sink: ChunkSink): number {
    const until = Math.min(end, at + this.size)
    this.size -= until - at
    if (this.size === 0) this.state = DATA_CR
    if (this.from !== this.to && until - at < GATHERED_BYTES) this.gather(buffer, at, until)
    else {
      this.handOn(buffer, sink)
      this.from = at
      this.to = until
    }
    return until
  }

  /** Behind what was found before; what stood there has been decoded. */
  private gather(buffer: Buffer, at: number, until: number): void {
    const { to } = this
    this.to = to + until - at
    if (until - at > FEW_BYTES) buffer.copyWithin(to, at, until)
    else for (let index = 0; index < until - at; index += 1) buffer[to + index] = buffer[at + index] as number
  }

  private handOn(buffer: Buffer, sink: ChunkSink): void {
    const { from, to } = this
    if (from === to) return
    this.from = 0
    this.to = 0
    sink.bodyPiece(buffer, from, to)
  }

  private takeByte(byte: number): void {
    switch (this.state) {
      case SIZE:
        return this.takeSize(byte)
      case EXTENSION:
        return this.takeExtension(byte)
      case SIZE_LF:
        if (byte !== LF) this.fault = 'chunk_size'
        else this.state = this.size === 0 ? TRAILER : DATA
        this.digits = 0
        return
      case DATA_CR:
        if (byte !== CR) this.fault = 'chunk_end'
        else this.state = DATA_LF
        return
      default:
        if (byte !== LF) this.fault = 'chunk_end'
        else this.state = SIZE
    }
  }

  private takeSize(byte: number): void {
    const digit = hexDigit(byte)
    if (digit !== -1) {
      this.digits += 1
      this.size = this.size * 16 + digit
      if (this.digits > MAX_SIZE_DIGITS) this.fault = 'chunk_size'
    } else if (this.digits === 0) this.fault = 'chunk_size'
    else if (byte === CR) this.state = SIZE_LF
    else if (byte === SEMICOLON) this.state = EXTENSION
    else this.fault = 'chunk_size'
  }

  private takeExtension(byte: number): void {
    this.extensionBytes += 1
    if (byte === CR) this.state = SIZE_LF
    else if ((byte < SPACE && byte !== TAB) || byte === DEL) this.fault = 'chunk_extension'
    else if (this.extensionBytes > MAX_EXTENSION_BYTES) this.fault = 'chunk_extension'
  }

  private takeTrailer(buffer: Buffer, at: number, end: number): number {
    const before = this.trailerText.length
    const room = MAX_TRAILER_BYTES - before
    const text = this.trailerText + buffer.toString('latin1', at, Math.min(end, at + room))
    const length = text.startsWith('\r\n') ? 2 : endOfSection(text, before)
    if (length === -1) {
      this.trailerText = text
      if (text.length >= MAX_TRAILER_BYTES) this.fault = 'trailer'
      return end
    }
    if (length > 2) {
      const trailers = parseTrailers(text.slice(0, length), MAX_TRAILERS, this.strict)
      if (typeof trailers === 'string') this.fault = trailers
      else this.trailers = trailers
    }
    this.state = FINISHED
    return at + length - before
  }
}

function endOfSection(text: string, known: number): number {
  const at = text.indexOf('\r\n\r\n', Math.max(0, known - 3))
  return at === -1 ? -1 : at + 4
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const lower = byte | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1
}
