/**
 * Labels on everything that Berth makes in the engine. What lacks `berth.node` is not ours and is never touched; what has it need not be: the
 * engine hands an image's labels down to images made from it and to containers that people run, and `docker commit` hands a container's to an
 * image. So an image is Berth's by its name besides, and a container by the label that repeats its name (ADR 36).
 */
export const LABELS = {
  /** The id of the Berth node (data directory) that owns it: two daemons on one engine do not see each other's work. */
  node: 'berth.node',
  project: 'berth.project',
  service: 'berth.service',
  deployment: 'berth.deployment',
  replica: 'berth.replica',
  /** The name of a volume in its service. */
  volume: 'berth.volume',
  /** The volumes that a replica has, by their names in the engine. */
  mounts: 'berth.mounts',
  /** What it is: `replica`, `release_command`, `image`, `network`, `base`, `volume`, `carrier` (which never runs: through it volumes are read and written). */
  kind: 'berth.kind',
  /** The name of the container itself. */
  container: 'berth.container',
  /** A digest of the container's specification, so that a changed one is noticed. */
  spec: 'berth.spec',
} as const
