import { Type } from 'typebox'
import { readPageRequest, sendPage } from '../../http/pagination.ts'
import { IdInPath, IdParams, ListQuery, strictObject } from '../../http/schema.ts'
import type { Server } from '../../http/server.ts'
import { AppError } from '../../lib/errors.ts'
import type { DomainOperations } from './domain-operations.ts'
import { CHALLENGE_PREFIX, DomainCreate, DomainPatch, DomainView } from './domain-schema.ts'

const tags = ['Domains']
const DomainParams = strictObject({ id: IdInPath, domain_id: IdInPath })
const readable = { access: { permission: 'domains.read', of: 'service' } } as const
const writable = { access: { permission: 'domains.write', of: 'service' } } as const

/** Routes of api.md "Domains". */
export function domainRoutes(server: Server, operations: DomainOperations): void {
  collectionRoutes(server, operations)
  resourceRoutes(server, operations)
  challengeRoute(server, operations)
}

function collectionRoutes(server: Server, operations: DomainOperations): void {
  server.get(
    '/v1/services/:id/domains',
    {
      config: readable,
      schema: {
        operationId: 'listDomains',
        summary: 'List the domains of a service, newest first',
        tags,
        params: IdParams,
        querystring: ListQuery,
        response: { 200: Type.Array(DomainView) },
      },
    },
    async (request, reply) =>
      sendPage(
        request,
        reply,
        operations.listDomains(request.context, request.params.id, readPageRequest(request.query)),
      ),
  )

  server.post(
    '/v1/services/:id/domains',
    {
      config: writable,
      schema: {
        operationId: 'addDomain',
        summary: 'Claim a hostname for a service; it is routed once it is verified',
        tags,
        params: IdParams,
        body: DomainCreate,
        response: { 201: DomainView },
      },
    },
    async (request, reply) =>
      reply.code(201).send(operations.addDomain(request.context, request.params.id, request.body)),
  )
}

function resourceRoutes(server: Server, operations: DomainOperations): void {
  server.get(
    '/v1/services/:id/domains/:domain_id',
    {
      config: readable,
      schema: {
        operationId: 'getDomain',
        summary: 'Read a domain',
        tags,
        params: DomainParams,
        response: { 200: DomainView },
      },
    },
    async (request) => operations.getDomain(request.context, request.params.id, request.params.domain_id),
  )

  server.patch(
    '/v1/services/:id/domains/:domain_id',
    {
      config: { ...writable, entity_tag: true },
      schema: {
        operationId: 'updateDomain',
        summary: 'Change how a domain is served; it is so when this is answered',
        tags,
        params: DomainParams,
        body: DomainPatch,
        response: { 200: DomainView },
      },
    },
    (request) =>
      operations.updateDomain(request.context, request.params.id, request.params.domain_id, request.body),
  )

  server.delete(
    '/v1/services/:id/domains/:domain_id',
    {
      config: { ...writable, entity_tag: true },
      schema: {
        operationId: 'deleteDomain',
        summary: 'Take a hostname away from a service; it routes no request from the answer on',
        tags,
        params: DomainParams,
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      await operations.deleteDomain(request.context, request.params.id, request.params.domain_id)
      return reply.code(204).send(null)
    },
  )

  server.post(
    '/v1/services/:id/domains/:domain_id/verify',
    {
      config: writable,
      schema: {
        operationId: 'verifyDomain',
        summary: 'Check the proof of a hostname now; a verified one routes at once, a failed one says why',
        description:
          'Answers when the check has ended: within a minute, or up to four for a wildcard whose record the DNS hook has to make.',
        tags,
        params: DomainParams,
        response: { 200: DomainView },
      },
    },
    (request) => operations.verifyDomain(request.context, request.params.id, request.params.domain_id),
  )
}

function challengeRoute(server: Server, operations: DomainOperations): void {
  server.get(
    `${CHALLENGE_PREFIX}:token`,
    {
      config: { access: { public: true } },
      schema: {
        operationId: 'getDomainChallenge',
        summary: "Answer the proof of a hostname, when the request's Host is that hostname",
        tags,
        params: strictObject({ token: Type.String({ minLength: 1, maxLength: 128 }) }),
        response: { 200: { content: { 'text/plain': { schema: Type.String() } } } },
      },
    },
    async (request, reply) => {
      const proof = operations.findProof(request.hostname.toLowerCase(), request.params.token)
      if (proof === undefined) throw new AppError('NOT_FOUND')
      return reply.type('text/plain; charset=utf-8').header('cache-control', 'no-store').send(proof)
    },
  )
}
