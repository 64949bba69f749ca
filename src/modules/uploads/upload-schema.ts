import { type Static, Type } from 'typebox'
import { Id, Instant } from '../../http/schema.ts'
import { ARCHIVE_FORMATS, type ArchiveFormat } from '../../lib/archive-decode.ts'

/** What the body of an upload may be; parameters behind a semicolon are ignored. */
export const UPLOAD_CONTENT_TYPES: Readonly<Record<string, ArchiveFormat>> = {
  'application/zstd': 'tar.zst',
  'application/gzip': 'tar.gz',
  'application/x-tar': 'tar',
}

/** A row of `uploads`. */
export interface UploadRow {
  id: string
  service_id: string
  format: ArchiveFormat
  size_bytes: number
  unpacked_bytes: number
  entries: number
  sha256: string
  /** Who sent it, as JSON. */
  created_by: string
  created_at: string
  expires_at: string
  deployment_id: string | null
}

export const UploadView = Type.Object(
  {
    upload_id: Id,
    service_id: Id,
    format: Type.Enum(ARCHIVE_FORMATS),
    size_bytes: Type.Integer({ description: 'As it was sent' }),
    unpacked_bytes: Type.Integer({ description: 'Of all files in it' }),
    entries: Type.Integer({ description: 'Files, links and folders in it' }),
    sha256: Type.String({ description: 'Of the body as it was sent, in hexadecimal' }),
    created_at: Instant,
    expires_at: Instant,
  },
  { title: 'Upload' },
)
export type UploadView = Static<typeof UploadView>
