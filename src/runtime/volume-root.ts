/** The root folder of a volume. */
export interface VolumeRoot {
  uid: number
  gid: number
  /** The permission bits. */
  mode: number
  mtime_ms: number
}
