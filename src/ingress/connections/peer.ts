import {
  type ForwardedClaims,
  forwardedLines,
  namedAddress,
  NO_CLAIMS,
  plainAddress,
} from '../messages/forwarded.ts'

/** Whoever is at the other end of a client connection, and what applications are told of him. */
export class Peer {
  readonly address: string
  /** It came by TLS. */
  readonly secure: boolean
  readonly isTrusted: (address: string) => boolean
  /** The peer may say whom it speaks for. */
  readonly trusted: boolean
  private lastHost = ''
  private lastLines = ''

  constructor(address: string, secure: boolean, isTrusted: (address: string) => boolean) {
    this.address = plainAddress(address)
    this.secure = secure
    this.isTrusted = isTrusted
    this.trusted = isTrusted(this.address)
  }

  forwardedLines(host: string, claims: ForwardedClaims): string {
    if (claims !== NO_CLAIMS) return forwardedLines(this, host, claims)
    if (host !== this.lastHost) {
      this.lastHost = host
      this.lastLines = forwardedLines(this, host, NO_CLAIMS)
    }
    return this.lastLines
  }

  /** Nothing more will be asked of it for long. */
  forget(): void {
    this.lastHost = ''
    this.lastLines = ''
  }

  /**
   * Who the request is from: the peer, or the last one in the chain of a trusted peer's X-Forwarded-For that is not itself trusted.
   * What stands in front of that one anybody can have written.
   */
  clientAddress({ forwardedFor }: ForwardedClaims): string {
    if (forwardedFor === '') return this.address
    const chain = forwardedFor.split(',').map((each) => namedAddress(each.trim()))
    const first = chain[0] as string
    return chain.findLast((each) => !this.isTrusted(each)) ?? first
  }
}
