import type { FastifySchema } from 'fastify'
import type { RouteAccess } from './access.ts'

/** What is known of a registered route. */
export interface KnownRoute {
  method: string
  /** The pattern, such as `/v1/users/:user_id`. */
  url: string
  access: RouteAccess
  /** Whether it compares `If-Match`. */
  entity_tag: boolean
  schema: FastifySchema
}

/** All routes, to tell a wrong method from an unknown path and to answer what a request would need. */
export interface RouteIndex {
  add(route: KnownRoute): void
  /** The routes of every method at a path, with the values of its parameters. */
  at(path: string): { route: KnownRoute; params: Record<string, string> }[]
  all(): readonly KnownRoute[]
}

export function createRouteIndex(): RouteIndex {
  const routes: KnownRoute[] = []
  const patterns: { segments: string[]; route: KnownRoute }[] = []
  return {
    add: (route) => {
      routes.push(route)
      patterns.push({ segments: route.url.split('/'), route })
    },
    at: (path) => {
      const found = patterns.flatMap(({ segments, route }) => {
        const params = match(segments, path.split('/'))
        return params
          ? [{ route, params, literals: segments.filter((segment) => !segment.startsWith(':')).length }]
          : []
      })
      // `/v1/users/directory` is not `/v1/users/:user_id`: the more literal pattern of a method wins, as in the router.
      const best = Math.max(...found.map((each) => each.literals))
      return found.filter((each) => each.literals === best)
    },
    all: () => routes,
  }
}

function match(segments: readonly string[], parts: readonly string[]): Record<string, string> | undefined {
  const wildcard = segments.at(-1) === '*'
  if (wildcard ? parts.length < segments.length : parts.length !== segments.length) return undefined
  const params: Record<string, string> = {}
  for (const [index, segment] of segments.entries()) {
    const part = parts[index] ?? ''
    if (segment === '*') params['*'] = parts.slice(index).join('/')
    else if (segment.startsWith(':')) {
      if (part === '') return undefined
      params[segment.slice(1)] = decode(part)
    } else if (segment !== part) return undefined
  }
  return params
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
