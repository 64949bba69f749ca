import type { Socket } from 'node:net'
import type { BodySource } from '../../lib/body-source.ts'
import { adoptSocket, type ReadTarget } from '../../lib/adopt-socket.ts'
import { joined } from '../../lib/joined.ts'
import { letGoOf } from '../../lib/young-garbage.ts'
import { type AnswerHeaders, answerHead } from './answer-head.ts'
import { type Claims, readClaims } from './claims.ts'
import { type BodyConnection, ConnectionBody } from './connection-body.ts'
import { HandedOver } from './handed-over.ts'
import { hasBareLineFeed, MAX_HEAD_BYTES, type PlainHead, readPlainHead } from './request-head.ts'

/** A plain request, and the ways to answer it. */
export interface PlainExchange {
  readonly head: PlainHead
  readonly body: BodySource
  readonly claims: Claims
  /** Sends the whole answer. Its length must be among the headers. */
  answer(status: number, headers: AnswerHeaders, body?: Buffer | string): void
  /** Sends the head; the body, of the length in the headers, is to be written to the result, which is not to be ended. */
  beginAnswer(status: number, headers: AnswerHeaders): Socket
}

export interface RawConnectionDeps {
  /** Whether a plain request is ours to answer. */
  accepts(head: PlainHead): boolean
  /** Answers it; resolves when the answer has been written. */
  serve(exchange: PlainExchange): Promise<void>
  /** Takes a connection on which something came that is not ours. */
  handOver(stream: HandedOver): void
  now(): number
  /** The value of a `Date` field. */
  date(): string
}

interface Exchange {
  readonly head: PlainHead
  readonly body: ConnectionBody
  isAnswered: boolean
  /** The connection ends with the answer. */
  closes: boolean
}

/** Bytes behind the request that is being served: more than this waits in the kernel. */
const MAX_PENDING_BYTES = 64 * 1024
/** An answer that is put into one write together with its head. */
const JOINED_BYTES = 32 * 1024
const EMPTY = Buffer.alloc(0)
/** Read by all connections in turn: what is in it is valid during one call. */
const scratch = Buffer.allocUnsafeSlow(256 * 1024)

/**
 * A connection that carries plain requests, one after the other, and costs little: heads are read in one pass, bodies go to where they are
 * wanted. With the first request that is anything else, all of the rest is handed to Node's own server.
 */
export class RawConnection implements ReadTarget, BodyConnection {
  readonly socket: Socket | undefined
  readonly #deps: RawConnectionDeps
  /** Undefined: it came through the ingress. */
  readonly #address: string | undefined
  #exchange: Exchange | undefined
  #pending: Buffer = EMPTY
  #isReading = false
  #hasEnded = false
  #stream: HandedOver | undefined
  /** When it last became idle, answered, or began to read a head or to discard a body. */
  waitsSince: number

  constructor(accepted: Socket, deps: RawConnectionDeps) {
    this.#deps = deps
    this.#address = accepted.remoteAddress
    this.waitsSince = deps.now()
    this.socket = adoptSocket(accepted, this)
    this.socket?.setNoDelay(true)
    this.socket?.on('error', () => {})
    this.socket?.on('end', () => this.#onEnd())
    this.socket?.on('close', () => this.#onClose())
  }

  /** Waits for its client alone: for a request, for the rest of a body that nobody wants, or to take an answer. */
  get isWaiting(): boolean {
    return !this.#stream && (!this.#exchange || this.isDiscarding || this.#exchange.isAnswered)
  }

  /** The client has not taken all that was answered. */
  get isUnread(): boolean {
    return (this.socket?.writableLength ?? 0) > 0
  }

  get isDiscarding(): boolean {
    return this.#exchange?.body.isDiscarded === true
  }

  /** Begins, with what was read before. */
  start(first: Buffer): void {
    this.#take(first)
    this.socket?.resume()
  }

  next(): Buffer {
    const body = this.#exchange?.body
    return (body?.isStarted === true ? body.place() : undefined) ?? scratch
  }

  read(bytes: number, place: Buffer): void {
    const body = this.#exchange?.body
    if (place === scratch || !body) this.#take(place.subarray(0, bytes))
    else {
      const used = body.read(bytes, place)
      if (used < bytes) this.#take(place.subarray(used, bytes))
    }
  }

  pause(): void {
    this.socket?.pause()
  }

  resume(): void {
    this.socket?.resume()
  }

  destroy(): void {
    this.socket?.destroy()
  }

  bodyStarted(): void {
    if (this.isDiscarding) this.waitsSince = this.#deps.now()
    else if (this.#exchange?.head.expectsContinue === true)
      this.socket?.write('HTTP/1.1 100 Continue\r\n\r\n')
    this.#take(EMPTY)
    this.resume()
  }

  bodyUnwanted(): boolean {
    const exchange = this.#exchange
    if (exchange?.head.expectsContinue !== true) return false
    // The client may send the body all the same; what it means by the bytes that follow cannot be known (RFC 9110, section 10.1.1).
    exchange.closes = true
    return true
  }

  bodyOver(): void {
    this.#settle()
  }

  #take(bytes: Buffer): void {
    if (this.#stream) {
      this.#stream.receive(bytes)
      return
    }
    const all = joined([this.#pending, bytes].filter(({ length }) => length > 0))
    // Whoever starts a body while it is being read finds the reading under way.
    if (this.#isReading) {
      this.#pending = all === bytes ? Buffer.from(bytes) : all
      return
    }
    this.#pending = EMPTY
    this.#isReading = true
    const rest = this.#work(all)
    this.#isReading = false
    if (rest.length === 0) return
    this.#pending = rest.buffer === scratch.buffer ? Buffer.from(rest) : rest
    if (this.#pending.length > MAX_PENDING_BYTES && this.#exchange) this.pause()
  }

  /** Answers what it cannot work on yet. */
  #work(bytes: Buffer): Buffer {
    let rest = bytes
    while (rest.length > 0 && this.socket?.destroyed === false) {
      const body = this.#exchange?.body
      if (body) {
        if (body.isOver || !body.isStarted) return rest
        rest = rest.subarray(body.feed(rest))
        continue
      }
      const end = rest.indexOf('\r\n\r\n')
      // The end of a head with bare line feeds would never come.
      if (end === -1 && rest.length <= MAX_HEAD_BYTES && !hasBareLineFeed(rest)) return rest
      const head =
        end === -1 || end > MAX_HEAD_BYTES ? undefined : readPlainHead(rest.toString('latin1', 0, end))
      const claims = head && readClaims(head, this.#address)
      if (!head || !claims || !this.#deps.accepts(head)) {
        this.#handOver(rest)
        return EMPTY
      }
      rest = rest.subarray(end + 4)
      this.#begin(head, claims)
    }
    return EMPTY
  }

  #begin(head: PlainHead, claims: Claims): void {
    const body = new ConnectionBody(head.body, this)
    const exchange: Exchange = { head, body, isAnswered: false, closes: head.closes }
    this.#exchange = exchange
    void this.#deps
      .serve({
        head,
        body,
        claims,
        answer: (status, headers, content) => this.#answer(exchange, status, headers, content),
        beginAnswer: (status, headers) => {
          this.#write(this.#headOf(exchange, status, headers))
          return this.socket as Socket
        },
      })
      .then(
        () => this.#answered(exchange),
        () => this.destroy(),
      )
  }

  #answer(exchange: Exchange, status: number, headers: AnswerHeaders, content?: Buffer | string): void {
    const head = this.#headOf(exchange, status, headers)
    if (content === undefined || exchange.head.method === 'HEAD') this.#write(head)
    else if (content.length > JOINED_BYTES) {
      this.socket?.cork()
      this.#write(head)
      this.socket?.write(content)
      this.socket?.uncork()
    } else if (typeof content === 'string') this.socket?.write(head + content, 'utf8')
    else {
      const all = Buffer.allocUnsafe(head.length + content.length)
      all.write(head, 0, 'latin1')
      content.copy(all, head.length)
      this.socket?.write(all)
      letGoOf(all.length)
    }
  }

  #write(head: string): void {
    this.socket?.write(head, 'latin1')
  }

  #headOf({ closes }: Exchange, status: number, headers: AnswerHeaders): string {
    return answerHead(status, headers, { date: this.#deps.date(), closes })
  }

  #answered(exchange: Exchange): void {
    exchange.isAnswered = true
    this.waitsSince = this.#deps.now()
    const { body } = exchange
    if (!body.isOver && !body.isDiscarded) body.discard()
    this.#settle()
  }

  /** Goes on with the next request when this one has been read and answered. */
  #settle(): void {
    const exchange = this.#exchange
    if (!exchange?.isAnswered || !(exchange.body.isOver || exchange.body.isLost)) return
    const isLast = exchange.closes || this.#hasEnded
    if (!isLast && this.socket?.writableNeedDrain === true) {
      // Whoever sends requests and takes no answers must not fill the memory.
      this.socket.once('drain', () => this.#settle())
      return
    }
    this.#exchange = undefined
    if (isLast) {
      this.socket?.end()
      return
    }
    this.#take(EMPTY)
    // Requests that wait for their turn are enough.
    if (this.#pending.length <= MAX_PENDING_BYTES) this.resume()
  }

  /** Ends it once the request that is being served has been answered. */
  close(): void {
    if (this.#exchange) this.#hasEnded = true
    else if (this.#stream) return
    else if (this.isUnread) this.socket?.end()
    // An idle client need not agree.
    else this.socket?.destroy()
  }

  #handOver(first: Buffer): void {
    if (!this.socket) return
    this.#stream = new HandedOver(this.socket, this.#address)
    this.#deps.handOver(this.#stream)
    this.#stream.receive(first)
  }

  #onEnd(): void {
    this.#hasEnded = true
    if (this.#stream) this.#stream.receiveEnd()
    else if (!this.#exchange) this.socket?.end()
    else {
      this.#exchange.body.lost(new Error('the client ended the connection'))
      this.#settle()
    }
  }

  #onClose(): void {
    this.#hasEnded = true
    this.#exchange?.body.lost(new Error('the client closed the connection'))
    this.#stream?.destroy()
  }
}
