import { Type } from 'typebox'
import { readPageRequest, sendPage } from '../../http/pagination.ts'
import { IdParams, ListQuery } from '../../http/schema.ts'
import type { Server } from '../../http/server.ts'
import type { GitCredentialOperations } from './git-credential-operations.ts'
import {
  CredentialParams,
  GitCredentialCreate,
  GitCredentialView,
  GitHostKeyView,
  HostKeyParams,
} from './git-credential-schema.ts'

const tags = ['git']
const readAccess = { access: { permission: 'credentials.read', of: 'project' } } as const
const writeAccess = { access: { permission: 'credentials.write', of: 'project' } } as const

/** Routes of a project's credentials for Git and of the host keys that it has pinned. */
export function gitCredentialRoutes(server: Server, operations: GitCredentialOperations): void {
  server.get(
    '/v1/projects/:id/credentials/git',
    {
      config: readAccess,
      schema: {
        operationId: 'listGitCredentials',
        summary:
          "List a project's keys and tokens for Git repositories, newest first; what is secret is never read back",
        tags,
        params: IdParams,
        querystring: ListQuery,
        response: { 200: Type.Array(GitCredentialView) },
      },
    },
    async (request, reply) =>
      sendPage(
        request,
        reply,
        operations.listGitCredentials(request.context, request.params.id, readPageRequest(request.query)),
      ),
  )

  server.post(
    '/v1/projects/:id/credentials/git',
    {
      config: writeAccess,
      schema: {
        operationId: 'createGitCredential',
        summary: 'Store a key or a token for Git repositories, or make a key and answer its public half',
        tags,
        params: IdParams,
        body: GitCredentialCreate,
        response: { 201: GitCredentialView },
      },
    },
    async (request, reply) =>
      reply
        .code(201)
        .send(await operations.createGitCredential(request.context, request.params.id, request.body)),
  )

  server.delete(
    '/v1/projects/:id/credentials/git',
    {
      config: writeAccess,
      schema: {
        operationId: 'deleteGitCredentials',
        summary: 'Delete all credentials of a project for Git repositories',
        tags,
        params: IdParams,
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      operations.deleteGitCredentials(request.context, request.params.id)
      return reply.code(204).send(null)
    },
  )

  server.get(
    '/v1/projects/:id/credentials/git/:credential_id',
    {
      config: readAccess,
      schema: {
        operationId: 'getGitCredential',
        summary: 'Read a credential for Git repositories, without what is secret',
        tags,
        params: CredentialParams,
        response: { 200: GitCredentialView },
      },
    },
    async (request) =>
      operations.getGitCredential(request.context, request.params.id, request.params.credential_id),
  )

  server.delete(
    '/v1/projects/:id/credentials/git/:credential_id',
    {
      config: { ...writeAccess, entity_tag: true },
      schema: {
        operationId: 'deleteGitCredential',
        summary: 'Delete a credential for Git repositories',
        tags,
        params: CredentialParams,
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      operations.deleteGitCredential(request.context, request.params.id, request.params.credential_id)
      return reply.code(204).send(null)
    },
  )

  hostKeyRoutes(server, operations)
}

function hostKeyRoutes(server: Server, operations: GitCredentialOperations): void {
  server.get(
    '/v1/projects/:id/git-host-keys',
    {
      config: readAccess,
      schema: {
        operationId: 'listGitHostKeys',
        summary: 'List the keys of ssh hosts that the project has pinned, newest first',
        tags,
        params: IdParams,
        querystring: ListQuery,
        response: { 200: Type.Array(GitHostKeyView) },
      },
    },
    async (request, reply) =>
      sendPage(
        request,
        reply,
        operations.listGitHostKeys(request.context, request.params.id, readPageRequest(request.query)),
      ),
  )

  server.delete(
    '/v1/projects/:id/git-host-keys/:host_key_id',
    {
      config: writeAccess,
      schema: {
        operationId: 'deleteGitHostKey',
        summary: 'Forget the pinned key of an ssh host: the next connection pins the key that it shows then',
        tags,
        params: HostKeyParams,
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      operations.deleteGitHostKey(request.context, request.params.id, request.params.host_key_id)
      return reply.code(204).send(null)
    },
  )
}
