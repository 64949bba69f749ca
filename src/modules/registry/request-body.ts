import type { BodySource } from '../../lib/body-source.ts'
import { AppError } from '../../lib/errors.ts'
import type { SharedBlocks } from '../../lib/shared-blocks.ts'
import type { System } from '../../lib/system.ts'
import { BodyIntake, type TakePiece } from './body-intake.ts'

/** How long a client is waited for until it has sent so much more: less is as good as nothing. */
const STALL_MS = 60_000
const LEAST_BYTES = 64 * 1024

/**
 * Passes a body on in pieces of up to a mebibyte. Whatever arrived is passed on also when the client goes away; then BLOB_UPLOAD_INVALID is
 * thrown. Answers how many bytes came.
 */
export async function takeBody(
  body: BodySource,
  take: TakePiece,
  maxBytes: number,
  deps: { system: System; blocks: SharedBlocks },
): Promise<number> {
  const intake = new BodyIntake(body, take, maxBytes, deps.blocks)
  const cancelStallCheck = watchForStall(intake, deps.system)
  try {
    return await intake.finished
  } catch (error) {
    body.discard()
    throw error
  } finally {
    cancelStallCheck()
  }
}

/** A client that sends nothing, or a byte a minute, would hold its upload for ever. A time in which it was held back is not counted against it. */
function watchForStall(intake: BodyIntake, system: System): () => void {
  let seen = 0
  let holds = 0
  const look = (): void => {
    const wasHeldBack = intake.isHeldBack || intake.holds > holds
    if (!wasHeldBack && intake.received - seen < LEAST_BYTES) {
      intake.giveUp(new AppError('REQUEST_TIMEOUT'))
      return
    }
    seen = intake.received
    holds = intake.holds
    cancel = system.later(STALL_MS, look)
  }
  let cancel = system.later(STALL_MS, look)
  return () => cancel()
}
