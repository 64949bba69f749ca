import type { FastifyReply, FastifyRequest } from 'fastify'
import { AppError } from '../lib/errors.ts'

/** What a request gets that no route takes: METHOD_NOT_ALLOWED with the methods of the path, else NOT_FOUND. */
export function noRoute(request: FastifyRequest, reply: FastifyReply): AppError {
  const known = request.server.routeIndex.at(request.url.split('?', 1)[0] ?? '')
  if (known.length === 0) return new AppError('NOT_FOUND')
  void reply.header('allow', known.map(({ route }) => route.method).join(', '))
  return new AppError('METHOD_NOT_ALLOWED')
}
