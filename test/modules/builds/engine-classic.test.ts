import { engineBuilds } from './engine-builds-suite.ts'

engineBuilds('classic builder', true)
