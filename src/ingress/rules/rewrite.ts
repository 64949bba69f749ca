import type { RequestHead } from '../messages/request-head.ts'
import type { ResponseHead } from '../messages/response-head.ts'
import type { RouteState } from '../routing/route-index.ts'
import type { UpstreamState } from '../upstream/upstream.ts'
import { type CompiledRules, isBelow, OWN_COOKIE, type StickyCookie, stickyId } from './compiled-rules.ts'

/** Changes what the application is given: its path, its fields, and which service it is. */
export function rewriteRequest(rules: CompiledRules, head: RequestHead): void {
  const found = rules.paths.find(({ prefix }) => isBelow(head.path, prefix))
  if (found !== undefined) {
    head.routeName = found.hostname
    if (found.strip) {
      const rest = head.path.slice(found.prefix.length)
      const path = rest.startsWith('/') ? rest : `/${rest}`
      head.text = head.text.replace(head.path, () => path)
    }
  }
  if (rules.requestRemove.size === 0) return
  const [first = '', ...lines] = head.text.slice(0, -4).split('\r\n')
  const kept = lines.filter(
    (line) => !rules.requestRemove.has(line.slice(0, line.indexOf(':')).toLowerCase()),
  )
  head.text = `${[first, ...kept].join('\r\n')}\r\n${rules.requestLines}\r\n`
}

/** Changes the fields of an answer, and tells a client of a sticky service which replica it keeps. */
export function rewriteResponse(
  rules: CompiledRules,
  head: RequestHead,
  response: ResponseHead,
  upstream: UpstreamState | undefined,
): void {
  const { headers } = response
  if (rules.responseRemove.size > 0) {
    for (let index = headers.length - 2; index >= 0; index -= 2)
      if (rules.responseRemove.has((headers[index] as string).toLowerCase())) headers.splice(index, 2)
    headers.push(...rules.responseAdd)
  }
  if (rules.sticky !== true || upstream === undefined) return
  const id = stickyId(upstream.id)
  const { name, pattern } = cookieOf(rules, head)
  if (pattern.exec(head.text)?.[1] === id) return
  const secure = head.secure ? '; Secure' : ''
  headers.push('Set-Cookie', `${name}=${id}; Path=/; HttpOnly; SameSite=Lax${secure}`)
}

/** Each service that a hostname leads to has one of its own. */
function cookieOf({ pathCookies }: CompiledRules, { routeName }: RequestHead): StickyCookie {
  return pathCookies.get(routeName) ?? OWN_COOKIE
}

/** The replica that a client keeps, while it is in the table and takes connections. */
export function keptUpstream(
  rules: CompiledRules,
  head: RequestHead,
  route: RouteState,
  tried: readonly UpstreamState[],
  now: number,
): UpstreamState | undefined {
  if (rules.sticky !== true || route.upstreams.length < 2) return undefined
  const id = cookieOf(rules, head).pattern.exec(head.text)?.[1]
  if (id === undefined) return undefined
  return route.upstreams.find(
    (each) => stickyId(each.id) === id && !tried.includes(each) && !each.isEjected(now),
  )
}
