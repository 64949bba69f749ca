import { test } from 'tap'
import { targetOf } from '../../src/api-client/route.ts'

test('parameters are filled into the path, and what is undefined is left out of the query', async (t) => {
  t.same(targetOf('GET /v1/me'), { method: 'GET', path: '/v1/me' })
  t.same(targetOf('GET /v1/services', { query: { limit: 5, project_id: undefined } }), {
    method: 'GET',
    path: '/v1/services?limit=5',
  })
  t.same(
    targetOf('DELETE /v1/projects/{id}/members/{user_id}', { params: { id: 'a/../b', user_id: '..' } }),
    { method: 'DELETE', path: '/v1/projects/a%2F..%2Fb/members/%2E%2E' },
    'no value leads to another path',
  )
})

// Never called: the compiler fails when one of these is right.
export function refusedByTheCompiler(): void {
  // @ts-expect-error -- no such route
  targetOf('GET /v1/nothing')
  // @ts-expect-error -- the method is another one
  targetOf('POST /v1/me')
  // @ts-expect-error -- the parameter is missing
  targetOf('GET /v1/services/{id}')
  // @ts-expect-error -- no such query parameter
  targetOf('GET /v1/services', { query: { colour: 'red' } })
  // @ts-expect-error -- a number, not a text
  targetOf('GET /v1/services', { query: { limit: 'many' } })
}
