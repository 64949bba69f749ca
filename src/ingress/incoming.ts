import type { Answer, RequestClient } from './answer.ts'
import type { BodySource, RequestBody } from './request-body.ts'
import type { RequestHead } from './request-head.ts'
import type { UpgradeRequest } from './upgrade.ts'

/** A request as it came in; the version of HTTP that its client speaks is hidden in it. */
export interface Incoming {
  client: RequestClient
  head: RequestHead
  answer: Answer
  body: RequestBody | null
  /** Where the body comes from, for who carries it otherwise. */
  source: BodySource | null
  upgrade: UpgradeRequest | null
}
