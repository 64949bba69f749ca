import type { ContainerInspectInfo } from 'dockerode'
import { LABELS } from './labels.ts'
import type { ContainerInfo, ContainerPhase } from './runtime.ts'

/**
 * A container takes over the labels of its image, and an image may come from anyone: what Berth's labels say of a container must be said
 * by Berth, so those that it was not given are blank.
 */
export const BLANK_LABELS = Object.fromEntries(Object.values(LABELS).map((name) => [name, '']))

/** Begins the names of Berth's containers. */
const PREFIX = 'berth-'

/**
 * Whether Berth made a container for this node: labels are handed down by images and by `docker commit`, a name is not. Before containers had the
 * label that repeats it, their names alone told.
 */
export function isOwnContainer(nodeId: string, name: string, labels: Record<string, string>): boolean {
  if (labels[LABELS.node] !== nodeId) return false
  const said = labels[LABELS.container]
  return said === undefined ? name.startsWith(PREFIX) && labels[LABELS.kind] !== 'image' : said === name
}

/** Labels without Berth's blank ones. */
export function withoutBlanks(labels: Record<string, string>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(labels).filter(([name, value]) => value !== '' || !(name in BLANK_LABELS)),
  )
}

const NEVER = '0001-01-01T00:00:00Z'

/** What the engine says of a container, in the words of the port. */
export function toContainerInfo(found: ContainerInspectInfo): ContainerInfo {
  const state = found.State
  const phase = phaseOf(state.Status)
  return {
    id: found.Id,
    name: nameOf(found),
    phase,
    labels: withoutBlanks(found.Config.Labels),
    image: found.Config.Image,
    address: phase === 'running' ? addressOf(found) : null,
    exit_code: phase === 'exited' ? state.ExitCode : null,
    oom_killed: state.OOMKilled,
    started_at: instantOrNull(state.StartedAt),
    finished_at: phase === 'running' ? null : instantOrNull(state.FinishedAt),
    error: state.Error || null,
  }
}

/** The engine puts a slash before names. */
export function nameOf(found: Pick<ContainerInspectInfo, 'Name'>): string {
  return found.Name.replace(/^\//, '')
}

function phaseOf(status: string): ContainerPhase {
  if (status === 'created') return 'created'
  return ['running', 'paused', 'restarting'].includes(status) ? 'running' : 'exited'
}

function addressOf(found: ContainerInspectInfo): string | null {
  return found.NetworkSettings.Networks[found.HostConfig.NetworkMode ?? '']?.IPAddress || null
}

function instantOrNull(instant: string): string | null {
  return instant === NEVER || instant === '' ? null : instant
}

/** Takes the reason out of the layers that containerd and runc put around it. */
export function readableRefusal(message: string): string {
  const layered = /(?:unable to start container process|starting container process caused): (.*)$/s
  return (layered.exec(message)?.[1] ?? message).replace(/: unknown$/, '').trim()
}
