import { ApiError, CliError, EXIT, Interrupted } from './cli-error.ts'
import { targetOf } from '../api-client/route.ts'
import type { Client } from './client.ts'
import { followEvents } from './event-follow.ts'
import { noteLost, readLogLine } from './log-lines.ts'
import { plainOutput } from './plain-text.ts'
import type { Surroundings } from './verb.ts'
import { type Deployment, isOver } from './wire.ts'

const POLL_MS = 1000

/** Shows the log of a deployment until it is over, over cuts of the connection, and answers how it ended. */
export async function followDeployment(
  call: Surroundings,
  client: Client,
  { id }: Deployment,
): Promise<Deployment> {
  try {
    await showLog(call, client, id)
    return await waitUntilOver(call, client, id)
  } catch (error) {
    throw withAdvice(error, id)
  }
}

async function showLog(call: Surroundings, client: Client, id: string): Promise<void> {
  const { output } = call
  const events = followEvents({
    client,
    path: targetOf('GET /v1/deployments/{id}/logs/stream', { params: { id } }).path,
    surroundings: call,
    onCut: (reason) => output.note(output.paintErr('dim', `${reason}; trying again ...`)),
  })
  try {
    for await (const event of events) {
      if (event.type === 'lost') noteLost(output, event)
      if (event.type !== 'message' || output.quiet) continue
      const { stream, line } = readLogLine(event)
      const text = plainOutput(line, output.coloursErr)
      process.stderr.write(`${stream === 'status' ? output.paintErr('bold', text) : text}\n`)
    }
  } catch (error) {
    // A token may deploy and not read logs. What became of it is still to be told.
    if (!(error instanceof ApiError) || (error.exit !== EXIT.refused && error.exit !== EXIT.not_found))
      throw error
    output.note(`The log cannot be shown: ${error.message} Waiting for the end ...`)
  }
}

async function waitUntilOver(
  { system, signal }: Surroundings,
  client: Client,
  id: string,
): Promise<Deployment> {
  for (;;) {
    const deployment = await client.call('GET /v1/deployments/{id}', { params: { id } })
    if (isOver(deployment)) return deployment
    await system.sleep(POLL_MS, signal)
  }
}

function withAdvice(error: unknown, id: string): unknown {
  const goesOn = 'The deployment goes on without this command.'
  const advice = [
    goesOn,
    `To follow it again: berth logs --deployment ${id} -f`,
    `To stop it: berth cancel ${id}`,
  ]
  if (error instanceof Interrupted) return new Interrupted(error.signal, advice)
  if (error instanceof ApiError && error.exit === EXIT.refused) {
    return new ApiError(error.failure, [goesOn, 'Without the right to see deployments use --detach.'])
  }
  if (error instanceof CliError && error.exit === EXIT.unavailable) {
    return new CliError(error.message, { exit: error.exit, hints: advice, cause: error })
  }
  return error
}
