import type { Operations } from '../../openapi.d.ts'

// The routes of /v1 as openapi.json has them, so that the compiler checks each path, parameter, body and answer that the command line and
// the web console speak of. Nothing of this file but the two functions is there at run time.

type ByRoute = {
  [Id in keyof Operations as `${Operations[Id]['method']} ${Operations[Id]['path']}`]: Operations[Id]
}

/** `METHOD /path/{parameter}`, as in openapi.json. */
export type Route = keyof ByRoute

/** Routes that answer a list in pages, and their items. */
export type ListRoute = {
  [R in Route]: ByRoute[R]['answer'] extends readonly unknown[] ? R : never
}[Route]
export type Item<R extends ListRoute> = ByRoute[R]['answer'] extends readonly (infer I)[] ? I : never

/** What a route answers when it succeeds; undefined for 204. */
export type Answer<R extends Route> = ByRoute[R]['answer']

/** What a route takes as JSON. */
export type Body<R extends Route> = ByRoute[R]['body']

type Given<Name extends string, Value> = [Value] extends [undefined]
  ? { [K in Name]?: never }
  : keyof Value extends never
    ? { [K in Name]?: never }
    : object extends Value
      ? { [K in Name]?: Value }
      : { [K in Name]: Value }

/** What is undefined in a query is left out of it. */
type Loose<Query> = { [K in keyof Query]: Query[K] | undefined }

/** Parameters of the path, and of the query. */
export type Place<R extends Route> = Given<'params', ByRoute[R]['params']> &
  Given<'query', Loose<ByRoute[R]['query']>>
export type Input<R extends Route> = Place<R> & Given<'body', Body<R>>

/** An argument that may be left out where a route asks for nothing. */
export type Maybe<Value> = object extends Value ? [value?: Value] : [value: Value]

export interface Target {
  method: string
  /** With the query. */
  path: string
}

type Values = Readonly<Record<string, string | number | boolean | undefined>>

/** Where a request goes: the method, and the path with its parameters filled in. */
export function targetOf<R extends Route>(route: R, ...[place]: Maybe<Place<R>>): Target {
  const { params = {}, query = {} } = (place ?? {}) as { params?: Values; query?: Values }
  const [method = '', pattern = ''] = route.split(' ')
  const path = pattern.replaceAll(/\{([^}]+)\}/g, (_, name: string) => segment(String(params[name])))
  return { method, path: path + queryText(query) }
}

/** `?name=value`, without what is undefined; empty when nothing is left. */
export function queryText(query: Values): string {
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) if (value !== undefined) search.set(name, String(value))
  return search.size === 0 ? '' : `?${search.toString()}`
}

/** A segment of a path: names and ids are the user's and need quoting. */
export function segment(text: string): string {
  return encodeURIComponent(text).replace(/^\.{1,2}$/, (dots) => dots.replaceAll('.', '%2E'))
}
