import { AccessRecord } from './access-record.ts'
import { countAnswer } from './answer.ts'
import { Exchange } from './exchange.ts'
import { GrpcExchange } from './grpc-exchange.ts'
import type { Incoming } from './incoming.ts'
import { errorAnswer, httpsRedirect, type LocalAnswer, textAnswer } from './local-answer.ts'
import type { RequestHead } from '../messages/request-head.ts'
import type { RouteState } from '../routing/route-index.ts'
import { admit } from '../rules/admit.ts'
import { type CompiledRules, compileRules, NO_RULES } from '../rules/compiled-rules.ts'
import { rewriteRequest } from '../rules/rewrite.ts'
import type { WorkerContext } from '../worker/worker-context.ts'

/** Passes a request on to its service, or answers it here. Its header section has been found sound. */
export function passOn(context: WorkerContext, incoming: Incoming): void {
  const local = answerHere(context, incoming)
  if (local === undefined) {
    incoming.client.serve(
      incoming.head.grpc ? new GrpcExchange(context, incoming) : new Exchange(context, incoming),
    )
    return
  }
  countAnswer(context, local.status)
  incoming.answer.local(local)
  incoming.client.answered()
  incoming.body?.stop()
}

/** What keeps a request from its service, in the order of what is cheapest and most binding. */
function answerHere(context: WorkerContext, incoming: Incoming): LocalAnswer | undefined {
  const { head, answer } = incoming
  const { routes, challenges } = context
  const proof = challenges.find(head.hostname, head.path)
  if (proof !== undefined) return textAnswer(proof, head.requestId)
  const found = routes.find(head.hostname)
  if (found === undefined)
    return errorAnswer(routes.version === 0 ? 503 : 404, head.requestId, answer.accepts())
  if (found.route.https_only === true && !head.secure)
    return noted(context, head, found, httpsRedirect(head, context.httpsPort))
  const { rules, canonical_host: canonical } = found.route
  if (rules === undefined && canonical === undefined) return whileStopped(context, incoming, found)
  return (
    obey(context, incoming, found, compileRules(rules ?? NO_RULES)) ??
    // A rule may lead to another service.
    whileStopped(context, incoming, routes.find(head.routeName))
  )
}

const STOPPED = { message: 'The service is stopped.' }

/** Says that trying again does not help. Calls of gRPC are told in their own way that there is no replica. */
function whileStopped(
  context: WorkerContext,
  { head, answer }: Incoming,
  found: RouteState | undefined,
): LocalAnswer | undefined {
  if (found?.route.stopped !== true || head.grpc) return undefined
  return noted(context, head, found, errorAnswer(503, head.requestId, answer.accepts(), STOPPED))
}

/** What the operator of the service has said of its requests. */
function obey(
  context: WorkerContext,
  { head, answer, body }: Incoming,
  found: RouteState,
  rules: CompiledRules,
): LocalAnswer | undefined {
  const local = admit(rules, found.route.canonical_host, head, answer.accepts())
  if (local !== undefined) return noted(context, head, found, local)
  head.rules = rules
  if (body !== null && rules.max_body_bytes !== undefined) body.limit = rules.max_body_bytes
  rewriteRequest(rules, head)
  return undefined
}

/** An answer that belongs to a service stands in its access log. */
function noted(
  context: WorkerContext,
  head: RequestHead,
  found: RouteState,
  local: LocalAnswer,
): LocalAnswer {
  new AccessRecord(context, head, found).end(local.status)
  return local
}
