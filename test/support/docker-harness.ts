import type { Test } from 'tap'
import { createSystem, type System } from '../../src/lib/system.ts'
import { createDockerRuntime } from '../../src/runtime/docker-runtime.ts'
import type { Runtime } from '../../src/runtime/runtime.ts'
import { busyboxRootfs } from './busybox-image.ts'
import { ENGINE_SOCKET } from './engine.ts'

export interface DockerHarness {
  runtime: Runtime
  /** The runtime of another node on the same engine. */
  stranger: Runtime
  system: System
  /** Unique to this test; begins every name that it makes. */
  prefix: string
  /** An image with a shell. */
  image: string
}

export interface DockerHarnessOptions {
  classicBuilder?: boolean
  networkPool?: string
}

/**
 * The real engine, for one test: everything that the test makes through it belongs to a node of its own and is taken away when the test
 * ends, networks aside, whose names are to be given to `removeNetworks`.
 */
export async function dockerHarness(t: Test, options: DockerHarnessOptions = {}): Promise<DockerHarness> {
  const system = createSystem()
  const prefix = `bt-${system.randomBytes(5).toString('hex')}`
  const open = (nodeId: string): Runtime =>
    createDockerRuntime({ socketPath: ENGINE_SOCKET, nodeId, system, ...options })
  const runtime = open(prefix)
  const stranger = open(`${prefix}-stranger`)
  t.teardown(async () => {
    for (const each of [runtime, stranger]) await sweep(each, prefix)
  })
  const image = `${prefix}/shell:1`
  await runtime.importImage(await busyboxRootfs(), { tag: image, labels: {}, env: { PATH: '/bin' } })
  return { runtime, stranger, system, prefix, image }
}

async function sweep(runtime: Runtime, prefix: string): Promise<void> {
  for (const { name } of await runtime.listContainers({})) await runtime.removeContainer(name)
  for (const name of ['net', 'a', 'b']) await runtime.removeNetwork(`${prefix}-${name}`).catch(() => {})
  for (const { name } of await runtime.listVolumes({})) await runtime.removeVolume(name).catch(() => {})
  for (const { id, tags } of await runtime.listImages({})) {
    // The base image of generated builds has one name for all nodes of an engine: another test may be about to use it.
    if (tags.some((tag) => /^berth\/(base|carrier):/.test(tag))) continue
    for (const reference of tags.length > 0 ? tags : [id])
      await runtime.removeImage(reference).catch(() => {})
  }
}
