import type { BodySource } from '../../lib/body-source.ts'
import { AppError } from '../../lib/errors.ts'
import type { SharedBlocks } from '../../lib/shared-blocks.ts'
import type { System } from '../../lib/system.ts'
import { BodyIntake, type TakePiece } from './body-intake.ts'

const STALL_MS = 60_000

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

/** A client that sends nothing would hold its upload for ever. */
function watchForStall(intake: BodyIntake, system: System): () => void {
  let seen = -1
  const look = (): void => {
    if (intake.received === seen && !intake.isHeldBack) {
      intake.giveUp(new AppError('REQUEST_TIMEOUT'))
      return
    }
    seen = intake.received
    cancel = system.later(STALL_MS, look)
  }
  let cancel = system.later(STALL_MS, look)
  return () => cancel()
}
