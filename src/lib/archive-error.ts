import { AppError, systemCodeOf } from './errors.ts'

/** Refuses an archive; `entry` names what is to blame, as it stands in the archive. */
export function badArchive(message: string, entry?: string, cause?: unknown): AppError {
  const shown = entry === undefined ? message : `${showName(entry)}: ${message}`
  return new AppError('BAD_ARCHIVE', {
    message: `The archive is not acceptable: ${shown}.`,
    details: [entry === undefined ? { message } : { field: showName(entry), message }],
    cause,
  })
}

/**
 * Of an entry in one of tar's sparse formats. There are four of them, which readers take differently; whoever unpacks one here writes the holes
 * in full anyway, so that a compressed archive without them says the same in as many bytes.
 */
export const SPARSE =
  'entries in a sparse format are not accepted; pack without --sparse, with bsdtar by --no-read-sparse'

/** Refuses an archive that goes beyond a limit. */
export function tooLarge(message: string): AppError {
  return new AppError('PAYLOAD_TOO_LARGE', {
    message: `The upload is too large: ${message}.`,
    details: [{ message }],
  })
}

const LONGEST_SHOWN = 200

/** A name that is safe on a terminal and in a log line. */
function showName(name: string): string {
  const shown = name.length > LONGEST_SHOWN ? `${name.slice(0, LONGEST_SHOWN)}…` : name
  // Control and format characters could rewrite what a terminal shows.
  return shown.replaceAll(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`,
  )
}

/** Gives what the decompressors of Node throw its place in the catalogue; anything else stays what it is. */
export function translateDecodeError(error: unknown, format: string): unknown {
  const code = systemCodeOf(error) ?? ''
  if (code === 'Z_BUF_ERROR') return badArchive(`the ${format} data is cut short`, undefined, error)
  if (/^(Z_|ZSTD_|ERR_TRAILING_JUNK)/.test(code))
    return badArchive(`the ${format} data is damaged`, undefined, error)
  return error
}
