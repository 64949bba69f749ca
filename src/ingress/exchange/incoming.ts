import type { Answer, RequestClient } from './answer.ts'
import type { RequestBody } from './request-body.ts'
import type { RequestHead } from '../messages/request-head.ts'
import type { StreamSource } from '../http2/http2-body.ts'
import type { UpgradeClient } from './upgrade.ts'

/** A request as it came in; the version of HTTP that its client speaks is hidden in it. */
export interface Incoming {
  client: RequestClient
  head: RequestHead
  answer: Answer
  body: RequestBody | null
  /** Where a body by HTTP/2 comes from, for who carries it otherwise. */
  source: StreamSource | null
  /** Set when the client asks to leave HTTP. */
  upgrade: UpgradeClient | null
}
