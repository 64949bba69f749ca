import type { PushRequest, SetName } from '../../ingress/contract/control-protocol.ts'
import { messageOf } from '../../lib/errors.ts'
import type { IngressLog } from './ingress-log.ts'
import { SetRefused, type WorkerLink } from './worker-link.ts'
import { killWorker } from './worker-process.ts'

/** One set that workers are handed: its present version, and how to hand it over. */
export interface FleetSet {
  name: SetName
  current(): { version: number }
  request(): PushRequest
}

/** A worker that goes on with an older set because it refused this one. */
export interface Refusal {
  pid: number
  name: SetName
}

export interface SetPushDeps {
  log: IngressLog
  directory: string
  sets: readonly FleetSet[]
}

/**
 * Hands the present sets to these workers. One that does not answer is killed; one that refuses a set serves on by its last one, and
 * is told of in the answer unless it is ending.
 */
export async function pushSets(deps: SetPushDeps, links: readonly WorkerLink[]): Promise<Refusal[]> {
  await Promise.all(links.map((link) => pushTo(deps, link)))
  return links
    .filter(({ closed, retiring, status }) => !closed && !retiring && !status.draining)
    .flatMap(({ pid, refused }) =>
      deps.sets
        .filter(({ name, current }) => refused.get(name) === current().version)
        .map(({ name }) => ({ pid, name })),
    )
}

async function pushTo(deps: SetPushDeps, link: WorkerLink): Promise<void> {
  try {
    for (const set of deps.sets) await offer(deps, link, set)
  } catch (error) {
    link.close()
    deps.log.warn({ pid: link.pid, error: messageOf(error) }, 'an ingress worker took no table and is killed')
    await killWorker(link.pid, deps.directory)
  }
}

async function offer(
  { log }: SetPushDeps,
  link: WorkerLink,
  { name, current, request }: FleetSet,
): Promise<void> {
  const { version } = current()
  if (link.versionOf(name) >= version || link.refused.get(name) === version) return
  try {
    await link.push(name, request())
  } catch (error) {
    if (!(error instanceof SetRefused)) throw error
    link.refused.set(name, version)
    log.warn({ pid: link.pid, name, version, error: messageOf(error) }, 'an ingress worker refuses a set')
  }
}
