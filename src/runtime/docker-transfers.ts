import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { AppError, isAppError } from '../lib/errors.ts'
import type { DockerEngine, StreamRequest } from './docker-engine.ts'
import { engineMessageOf, engineStatusOf } from './docker-errors.ts'
import { requireReference, toImageInfo } from './docker-images.ts'
import { readJsonLines } from './json-lines.ts'
import { type ImageInfo, type ImagePlace, type Runtime, TransferFailed } from './runtime.ts'

/** How often an image is pulled that is gone before it has its name. */
const PULLS = 3

type TransferVerbs = Pick<Runtime, 'pushImage' | 'pullImage'>

/** Pushes and pulls by the engine. Names of a registry are given to an image only for as long as the engine needs one. */
export function createDockerTransfers({ engine }: { engine: DockerEngine }): TransferVerbs {
  const tagImage = (image: string, repo: string, tag: string): Promise<unknown> =>
    engine.call('tag image', (docker, abortSignal) =>
      docker.getImage(requireReference(image)).tag({ repo, tag, abortSignal }),
    )

  /** Takes a name away. The image stays, because it has the name that it came with or was given. */
  const dropName = (reference: string): Promise<unknown> =>
    engine
      .call('drop image name', (docker, abortSignal) =>
        docker.getImage(requireReference(reference)).remove({ noprune: true, abortSignal }),
      )
      .catch((error: unknown) => {
        if (!isAppError(error, 'NOT_FOUND') && !isAppError(error, 'CONFLICT')) throw error
      })

  /** Has what was pulled bear another name; undefined when it is gone: a prune, or another pull of the same image that dropped the name. */
  const nameAnew = async (reference: string, tag: string): Promise<ImageInfo | undefined> => {
    const colon = tag.lastIndexOf(':')
    try {
      await tagImage(reference, tag.slice(0, colon), tag.slice(colon + 1))
      await dropName(reference)
      return await engine.call('inspect image', async (docker) =>
        toImageInfo(await docker.getImage(requireReference(tag)).inspect()),
      )
    } catch (error) {
      if (isAppError(error, 'NOT_FOUND')) return undefined
      throw error
    }
  }

  return {
    pushImage: async (image, { host, repository, tag, token }, signal) => {
      const name = `${host}/${repository}`
      await tagImage(image, name, tag)
      try {
        const path = `/images/${requireReference(name)}/push`
        const request = { method: 'POST', path, query: { tag }, registryAuth: authOf(host, token) } as const
        const digest = await transfer(engine, 'push image', request, signal)
        if (digest === undefined) throw new TransferFailed('The engine pushed the image but names no digest.')
        return { digest }
      } finally {
        await dropName(`${name}:${tag}`)
      }
    },

    pullImage: async (from: ImagePlace & { digest: string }, tag, signal) => {
      const name = `${from.host}/${from.repository}`
      const query = { fromImage: name, tag: from.digest }
      const registryAuth = authOf(from.host, from.token)
      const request = { method: 'POST', path: '/images/create', query, registryAuth } as const
      for (let attempt = 1; attempt <= PULLS; attempt += 1) {
        await transfer(engine, 'pull image', request, signal)
        const named = await nameAnew(`${name}@${from.digest}`, tag)
        if (named) return named
      }
      throw new TransferFailed('The engine lost the image each time as soon as it had pulled it.')
    },
  }
}

function authOf(serveraddress: string, registrytoken: string): Record<string, string> {
  return { serveraddress, registrytoken }
}

/** Follows the progress to its end; answers the digest that a push tells last. */
async function transfer(
  engine: DockerEngine,
  verb: string,
  request: StreamRequest,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    return await readToEnd(await engine.open(verb, request, { signal, timeoutMs: null }))
  } catch (error) {
    signal.throwIfAborted()
    throw refusalOf(error) ?? error
  }
}

async function readToEnd(answer: Readable): Promise<string | undefined> {
  let digest: string | undefined
  try {
    for await (const { error, aux } of readJsonLines(answer)) {
      if (typeof error === 'string') throw failureOf(error)
      const told = (aux as { Digest?: unknown } | undefined)?.Digest
      if (typeof told === 'string') digest = told
    }
    return digest
  } finally {
    if (!answer.closed) {
      answer.destroy()
      await once(answer, 'close')
    }
  }
}

function failureOf(message: string): Error {
  return /no space left on device/i.test(message)
    ? new AppError('DISK_FULL', { cause: new Error(`docker: ${message}`) })
    : new TransferFailed(message)
}

/** A registry that refuses before there is progress: the engine hands its words on with a status. */
function refusalOf(error: unknown): TransferFailed | undefined {
  if (!isAppError(error) || error.code === 'RUNTIME_UNAVAILABLE' || error.code === 'DISK_FULL')
    return undefined
  const answer = error.cause instanceof Error ? error.cause.cause : undefined
  return engineStatusOf(answer) === undefined ? undefined : new TransferFailed(engineMessageOf(answer))
}
