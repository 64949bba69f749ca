import { Type } from 'typebox'
import { readPageRequest, sendPage } from '../../http/pagination.ts'
import { IdInPath, ListQuery, strictObject } from '../../http/schema.ts'
import type { Server } from '../../http/server.ts'
import { AppError } from '../../lib/errors.ts'
import type { CertificateOperations } from './certificate-operations.ts'
import {
  ACME_CHALLENGE_PREFIX,
  CertificateUpload,
  CertificateView,
  RevokeRequest,
} from './certificate-schema.ts'

const tags = ['Certificates']
const CertificateParams = strictObject({ certificate_id: IdInPath })
// The project is that of the certificate, which the operation checks.
const readable = { access: { permission: 'domains.read' } } as const
const writable = { access: { permission: 'certificates.write' } } as const

/** Certificates: obtained by Berth, or uploaded. */
export function certificateRoutes(server: Server, operations: CertificateOperations): void {
  collectionRoutes(server, operations)
  resourceRoutes(server, operations)
  verbRoutes(server, operations)
  challengeRoute(server, operations)
}

function collectionRoutes(server: Server, operations: CertificateOperations): void {
  server.get(
    '/v1/certificates',
    {
      config: { access: { signed_in: true } },
      schema: {
        operationId: 'listCertificates',
        summary: 'List the certificates that you may see, newest first',
        tags,
        querystring: strictObject({ ...ListQuery.properties, project_id: Type.Optional(IdInPath) }),
        response: { 200: Type.Array(CertificateView) },
      },
    },
    async (request, reply) =>
      sendPage(
        request,
        reply,
        operations.listCertificates(
          request.context,
          request.query.project_id,
          readPageRequest(request.query),
        ),
      ),
  )

  server.post(
    '/v1/certificates',
    {
      config: writable,
      schema: {
        operationId: 'uploadCertificate',
        summary: 'Upload a certificate with its key; it is served at once, before one that Berth obtained',
        tags,
        body: CertificateUpload,
        response: { 201: CertificateView },
      },
    },
    async (request, reply) =>
      reply.code(201).send(await operations.uploadCertificate(request.context, request.body)),
  )
}

function resourceRoutes(server: Server, operations: CertificateOperations): void {
  server.get(
    '/v1/certificates/:certificate_id',
    {
      config: readable,
      schema: {
        operationId: 'getCertificate',
        summary: 'Read a certificate: what it is for, until when, what is under way and what went wrong last',
        tags,
        params: CertificateParams,
        response: { 200: CertificateView },
      },
    },
    async (request) => operations.getCertificate(request.context, request.params.certificate_id),
  )

  server.delete(
    '/v1/certificates/:certificate_id',
    {
      config: { ...writable, entity_tag: true },
      schema: {
        operationId: 'deleteCertificate',
        summary: 'Remove an uploaded certificate; one that Berth obtained goes with its domain',
        tags,
        params: CertificateParams,
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      await operations.deleteCertificate(request.context, request.params.certificate_id)
      return reply.code(204).send(null)
    },
  )
}

function verbRoutes(server: Server, operations: CertificateOperations): void {
  server.post(
    '/v1/certificates/:certificate_id/renew',
    {
      config: writable,
      schema: {
        operationId: 'renewCertificate',
        summary: 'Have a certificate obtained anew now',
        tags,
        params: CertificateParams,
        response: { 202: CertificateView },
      },
    },
    async (request, reply) =>
      reply.code(202).send(operations.renewCertificate(request.context, request.params.certificate_id)),
  )

  server.post(
    '/v1/certificates/:certificate_id/revoke',
    {
      config: writable,
      schema: {
        operationId: 'revokeCertificate',
        summary: 'Revoke a certificate at its authority; it is served no longer, and another one is obtained',
        tags,
        params: CertificateParams,
        body: RevokeRequest,
        response: { 200: CertificateView },
      },
    },
    (request) =>
      operations.revokeCertificate(request.context, request.params.certificate_id, request.body.reason),
  )
}

/** The ingress answers this itself; here it is for whoever is sent to the API's own port. */
function challengeRoute(server: Server, operations: CertificateOperations): void {
  server.get(
    `${ACME_CHALLENGE_PREFIX}:token`,
    {
      config: { access: { public: true } },
      schema: {
        operationId: 'getAcmeChallenge',
        summary:
          "Answer the key authorization of an order that is being checked (RFC 8555, section 8.3), when the request's Host is its hostname",
        tags,
        params: strictObject({ token: Type.String({ minLength: 1, maxLength: 256 }) }),
        response: { 200: { content: { 'text/plain': { schema: Type.String() } } } },
      },
    },
    async (request, reply) => {
      const proof = operations.findKeyAuthorization(request.hostname.toLowerCase(), request.params.token)
      if (proof === undefined) throw new AppError('NOT_FOUND')
      return reply.type('text/plain; charset=utf-8').header('cache-control', 'no-store').send(proof)
    },
  )
}
