import type { ContainerInspectInfo } from 'dockerode'
import { LABELS } from './labels.ts'
import type { ContainerInfo, ContainerPhase } from './runtime.ts'

/**
 * A container takes over the labels of its image, and an image may come from anyone: what Berth's labels say of a container must be said
 * by Berth, so those that it was not given are blank.
 */
export const BLANK_LABELS = Object.fromEntries(Object.values(LABELS).map((name) => [name, '']))

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
    name: found.Name.replace(/^\//, ''),
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
