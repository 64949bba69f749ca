/** Calls `run` when the event loop has handed out what arrived in this turn, so that work which came together is done together. */
export function afterThisTurn(run: () => void): void {
  setImmediate(run)
}
