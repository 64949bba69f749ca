import { CERTIFICATES_FILE, CHALLENGES_FILE, ROUTES_FILE } from '../../ingress/contract/control-protocol.ts'
import {
  type CertificateEntry,
  type CertificateSet,
  NO_CERTIFICATES,
  parseCertificateSet,
} from '../../ingress/contract/certificate-table.ts'
import {
  type Challenge,
  type ChallengeSet,
  NO_CHALLENGES,
  parseChallengeSet,
} from '../../ingress/contract/challenge-table.ts'
import {
  EMPTY_TABLE,
  packRouteTable,
  parseRouteTable,
  type Route,
  type RouteTable,
} from '../../ingress/contract/route-table.ts'
import type { SetKind } from './published-set.ts'

export const ROUTES: SetKind<RouteTable, Route> = {
  name: 'routes',
  file: ROUTES_FILE,
  empty: EMPTY_TABLE,
  parse: parseRouteTable,
  make: (version, routes) => ({ version, routes: [...routes] }),
  itemsOf: ({ routes }) => routes,
  pack: packRouteTable,
  request: (table) => ({ type: 'table', table: packRouteTable(table) }),
}

export const CERTIFICATES: SetKind<CertificateSet, CertificateEntry> = {
  name: 'certificates',
  file: CERTIFICATES_FILE,
  empty: NO_CERTIFICATES,
  parse: parseCertificateSet,
  make: (version, certificates) => ({ version, certificates: [...certificates] }),
  itemsOf: ({ certificates }) => certificates,
  pack: (set) => set,
  request: (set) => ({ type: 'certificates', set }),
}

export const CHALLENGES: SetKind<ChallengeSet, Challenge> = {
  name: 'challenges',
  file: CHALLENGES_FILE,
  empty: NO_CHALLENGES,
  parse: parseChallengeSet,
  make: (version, challenges) => ({ version, challenges: [...challenges] }),
  itemsOf: ({ challenges }) => challenges,
  pack: (set) => set,
  request: (set) => ({ type: 'challenges', set }),
}
