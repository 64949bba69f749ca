import { countAnswer } from './answer.ts'
import { Exchange } from './exchange.ts'
import { GrpcExchange } from './grpc-exchange.ts'
import type { Incoming } from './incoming.ts'
import { errorAnswer, httpsRedirect, type LocalAnswer, textAnswer } from './local-answer.ts'
import type { WorkerContext } from './worker-context.ts'

/** Passes a request on to its service, or answers it here. Its header section has been found sound. */
export function passOn(context: WorkerContext, incoming: Incoming): void {
  const local = answerHere(context, incoming)
  if (local === undefined) {
    const { client, head } = incoming
    client.serve(head.grpc ? new GrpcExchange(context, incoming) : new Exchange(context, incoming))
    return
  }
  countAnswer(context, local.status)
  incoming.answer.local(local)
  incoming.body?.stop()
}

/** What keeps a request from its service, in the order of what is cheapest and most binding. */
function answerHere(context: WorkerContext, { head, answer }: Incoming): LocalAnswer | undefined {
  const { routes, challenges } = context
  const proof = challenges.find(head.hostname, head.path)
  if (proof !== undefined) return textAnswer(proof, head.requestId)
  const found = routes.find(head.hostname)
  if (found === undefined)
    return errorAnswer(routes.version === 0 ? 503 : 404, head.requestId, answer.accepts())
  if (found.route.https_only === true && !head.secure) return httpsRedirect(head, context.httpsPort)
  return undefined
}
