import type { StepContext } from './step.ts'

/** Says in the log when an image seems to listen elsewhere than the service says. */
export function notePort(context: StepContext, exposedPorts: readonly number[]): void {
  const port = context.deployment.config.internal_port
  const [exposed] = exposedPorts
  if (port === null || exposed === undefined || exposedPorts.includes(port)) return
  context.log(
    `Note: the image exposes port ${exposed} but the service's internal_port is ${port}. It must listen on PORT=${port}, or set internal_port to ${exposed}.`,
  )
}
