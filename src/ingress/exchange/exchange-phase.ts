/** How far an exchange is, which decides what its deadline means. */
export const CONNECTING = 0
/** The application has been asked whether it wants the body. */
export const ASKING = 1
export const SENDING = 2
export const WAITING = 3
export const ANSWERING = 4

/** What it means that time is up behind CONNECTING and ASKING: the status, and the reason for the log. */
export function timeoutOf(
  phase: number,
  bodyHeld: boolean,
  clientStalled: boolean,
): [status: number, reason: string] {
  if (phase === SENDING) return bodyHeld ? [504, 'body_stalled'] : [408, 'client_slow']
  if (phase === WAITING) return [504, 'response_timeout']
  return [504, clientStalled ? 'client_stalled' : 'body_timeout']
}
