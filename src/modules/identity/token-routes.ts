import { Type } from 'typebox'
import { readPageRequest, sendPage } from '../../http/pagination.ts'
import { ListQuery, strictObject } from '../../http/schema.ts'
import type { Server } from '../../http/server.ts'
import { ApiToken, MintedToken, MintTokenBody, TokenParams } from './identity-schema.ts'
import type { TokenOperations } from './token-operations.ts'

const tags = ['tokens']

const TokenQuery = strictObject({
  ...ListQuery.properties,
  everyone: Type.Optional(Type.Boolean({ default: false, description: "Everyone's, for super-admins" })),
})

/** Tokens for programs. */
export function tokenRoutes(server: Server, operations: TokenOperations): void {
  server.get(
    '/v1/api-tokens',
    {
      config: { access: { signed_in: true } },
      schema: {
        operationId: 'listTokens',
        summary: 'List your API tokens',
        tags,
        querystring: TokenQuery,
        response: { 200: Type.Array(ApiToken) },
      },
    },
    async (request, reply) => {
      const { everyone = false, ...query } = request.query
      return sendPage(
        request,
        reply,
        operations.listTokens(request.context, everyone, readPageRequest(query)),
      )
    },
  )
  server.post(
    '/v1/api-tokens',
    {
      config: { access: { signed_in: true } },
      schema: {
        operationId: 'mintToken',
        summary: 'Make an API token; it is shown once',
        tags,
        body: MintTokenBody,
        response: { 201: MintedToken },
      },
    },
    async (request, reply) => {
      void reply.code(201)
      return operations.mintToken(request.context, request.body)
    },
  )
  server.delete(
    '/v1/api-tokens/:token_id',
    {
      config: { access: { signed_in: true } },
      schema: {
        operationId: 'revokeToken',
        summary: 'Revoke an API token and what it minted',
        tags,
        params: TokenParams,
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      operations.revokeToken(request.context, request.params.token_id)
      void reply.code(204)
    },
  )
}
