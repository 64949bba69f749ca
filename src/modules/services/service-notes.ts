import type { ServiceSummary } from './service-schema.ts'

/** What people should know of how a service is set up, because it is allowed and yet may surprise them. */
export function notesOn(
  { name, autoscale }: Pick<ServiceSummary, 'name' | 'autoscale'>,
  noteOnSource: string | undefined,
): string[] {
  const onSource = noteOnSource === undefined ? [] : [noteOnSource]
  if (autoscale?.min_replicas !== 0) return onSource
  return [
    ...onSource,
    `It sleeps when it is idle. Only requests through its hostnames wake it and keep it awake: services that call it as "${name}" in the project's network do not, and find nothing there while it sleeps. Let them call one of its hostnames, or set min_replicas to 1.`,
  ]
}
