/** Labels on everything that Berth makes in the engine. What lacks `berth.node` is not ours and is never touched. */
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
  /** A digest of the container's specification, so that a changed one is noticed. */
  spec: 'berth.spec',
} as const
