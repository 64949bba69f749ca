import { setTimeout as delay } from 'node:timers/promises'
import type { Test } from 'tap'
import type { DeploymentRequest, DeploymentRow } from '../../src/modules/deployments/deployment-schema.ts'
import type { Actor } from '../../src/modules/identity/actor.ts'
import type { Context } from '../../src/modules/identity/context.ts'
import type { ServiceCreate } from '../../src/modules/services/service-input-schema.ts'
import { bootDaemon, type DeliveryDaemon } from './delivery-daemon.ts'
import { type DeliverySettings, type DeliveryWorld, openWorld, type Source } from './delivery-world.ts'

export type { DeliveryDaemon } from './delivery-daemon.ts'
export type { Source } from './delivery-world.ts'

export interface Delivery extends DeliveryWorld {
  /** A daemon that is not started yet. */
  boot(): DeliveryDaemon
  /** A daemon at work. */
  start(): Promise<DeliveryDaemon>
}

/** Who asks for everything in these tests. */
export const OPERATOR: Context = { actor: makeActor(), request_id: 'request', client_address: '127.0.0.1' }

/** For what takes as long as it likes, on a machine that is busy. */
const PATIENCE_MS = 60_000

/** Opens a world and boots daemons over it; all of it ends with the test. */
export async function openDelivery(t: Test, settings: Partial<DeliverySettings> = {}): Promise<Delivery> {
  const world = await openWorld(settings)
  const daemons: DeliveryDaemon[] = []
  const boot = (): DeliveryDaemon => {
    const daemon = bootDaemon(world)
    daemons.push(daemon)
    return daemon
  }
  t.teardown(async () => {
    if (!t.passing()) for (const [id, entries] of world.logs) t.comment(id, entries)
    await Promise.all(daemons.map((daemon) => daemon.stop()))
    for (const daemon of daemons) daemon.life.kill()
    await world.close()
  })
  return {
    ...world,
    boot,
    start: async () => {
      const daemon = boot()
      await daemon.start()
      return daemon
    },
  }
}

/** Adds a service that answers on the port of the world's servers. */
export async function addService(
  world: Delivery,
  daemon: DeliveryDaemon,
  name = 'web',
  fields: Partial<ServiceCreate> = {},
): Promise<string> {
  const service = await daemon.services.createService(OPERATOR, {
    name,
    project_id: world.project.id,
    internal_port: world.port,
    ...fields,
    // Time goes fast here: a machine that is busy must not make a replica late, nor a late answer cost it its place.
    health_check: {
      path: '/',
      interval_ms: 100,
      timeout_seconds: 600,
      live_interval_seconds: 0,
      ...fields.health_check,
    },
  })
  return service.id
}

/** Asks for a deployment of a source and answers its id at once. */
export async function deploy(
  world: Delivery,
  daemon: DeliveryDaemon,
  serviceId: string,
  source: Source = {},
): Promise<string> {
  return ask(daemon, serviceId, { type: 'upload', upload_id: world.upload(source) })
}

export async function ask(
  daemon: DeliveryDaemon,
  serviceId: string,
  source: DeploymentRequest['source'],
): Promise<string> {
  const { id } = await daemon.deployments.createDeployment(OPERATOR, { service_id: serviceId, source })
  return id
}

/** Waits until a deployment is over and answers its row. */
export function over(daemon: DeliveryDaemon, id: string): Promise<DeploymentRow> {
  return until(`deployment ${id} is over`, () => {
    const row = daemon.stores.deployments.find(id)
    return row?.step === null ? row : undefined
  })
}

/** Deploys and waits; throws unless it became healthy. */
export async function release(
  world: Delivery,
  daemon: DeliveryDaemon,
  serviceId: string,
  source: Source = {},
): Promise<string> {
  const id = await deploy(world, daemon, serviceId, source)
  const { status, reason } = await over(daemon, id)
  if (status !== 'Healthy') throw new Error(`${status}: ${reason}\n${world.logText(id)}`)
  return id
}

/** Looks again and again, as often as the event loop turns nearly, until `look` answers something. */
export async function until<T>(
  what: string,
  look: () => T | undefined | false,
  patienceMs = PATIENCE_MS,
): Promise<T> {
  const deadline = performance.now() + patienceMs
  for (;;) {
    const found = look()
    if (found !== undefined && found !== false) return found
    if (performance.now() > deadline) throw new Error(`waited in vain until ${what}`)
    await delay(2)
  }
}

function makeActor(): Actor {
  return {
    via: 'session',
    user_id: 'user',
    name: 'olive',
    session_id: 'session',
    token_id: null,
    is_super_admin: true,
    can: () => true,
    sees: () => true,
    visibleProjects: () => 'all',
  }
}
