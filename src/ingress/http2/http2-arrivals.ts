import { afterThisTurn } from '../../lib/after-this-turn.ts'

/**
 * New streams of a worker's HTTP/2 connections. Each waits until the event loop has read what came with it, so that one whose reset follows
 * at once (rapid reset, CVE-2023-44487) is known to be over before anybody has worked for it: no connection to an application, no answer.
 */
export class Http2Arrivals {
  private waiting: (() => void)[] = []

  /** `serve` is called in the next turn, in the order of arrival; it looks whether the stream is still there, and throws nothing. */
  add(serve: () => void): void {
    this.waiting.push(serve)
    if (this.waiting.length === 1) afterThisTurn(() => this.serveAll())
  }

  /** All of them: what waits for longer only takes memory. */
  private serveAll(): void {
    const { waiting } = this
    this.waiting = []
    for (const serve of waiting) serve()
  }
}
