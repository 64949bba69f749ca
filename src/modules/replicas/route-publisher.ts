import type { Route } from '../../ingress/contract/route-table.ts'
import { inTurn } from '../../lib/in-turn.ts'
import type { System } from '../../lib/system.ts'
import { createWorker, type Worker } from '../../lib/worker.ts'
import type { ReplicaStore } from './replica-store.ts'
import { planRoutes, type RoutedService } from './route-plan.ts'

export interface RoutePublisherDeps {
  system: System
  replicas: ReplicaStore
  listRouted: () => RoutedService[]
  /** Resolves when every ingress process has the routes; routes that did not change cost nothing. */
  publish: (routes: Route[]) => Promise<unknown>
  onError: (error: unknown) => void
}

export interface RoutePublisher {
  worker: Worker
  /** Publishes what follows from the rows of this moment, or later; resolves when the ingress has it. */
  publish(): Promise<void>
}

/** Hands the routes to the ingress, one table after the other, so that an older one never follows a newer one. */
export function createRoutePublisher(deps: RoutePublisherDeps): RoutePublisher {
  const publish = inTurn(async () => {
    await deps.publish(planRoutes(deps.listRouted(), deps.replicas.listAll()))
  })
  return {
    publish,
    worker: createWorker({
      name: 'routes',
      system: deps.system,
      everyMs: 30_000,
      run: publish,
      onError: deps.onError,
    }),
  }
}
