import { afterThisTurn } from '../../lib/after-this-turn.ts'

/** A client may open more at once; the others on the worker are not to wait for all of them. */
const SERVED_PER_TURN = 64

/**
 * New streams of a worker's HTTP/2 connections. Each waits until the event loop has read what came with it, so that one whose reset follows
 * at once (rapid reset, CVE-2023-44487) is known to be over before anybody has worked for it: no connection to an application, no answer.
 */
export class Http2Arrivals {
  private waiting: (() => void)[] = []
  private next = 0
  private planned = false

  /** `serve` is called soon, in the order of arrival; it looks whether the stream is still there, and throws nothing. */
  add(serve: () => void): void {
    this.waiting.push(serve)
    this.plan()
  }

  private plan(): void {
    if (this.planned) return
    this.planned = true
    afterThisTurn(() => this.serveSome())
  }

  private serveSome(): void {
    this.planned = false
    const end = Math.min(this.next + SERVED_PER_TURN, this.waiting.length)
    while (this.next < end) {
      const serve = this.waiting[this.next]
      this.next += 1
      serve?.()
    }
    if (this.next < this.waiting.length) return this.plan()
    this.waiting = []
    this.next = 0
  }
}
