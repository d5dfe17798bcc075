import { defineConfig } from 'motia'
import { WeirStreams } from './weir-streams.mjs'

// The streams live on weir. What ends by itself has its time in seconds.
export default defineConfig({ adapters: { streams: new WeirStreams({ ttl: { typing: 5, cursors: 30, presence: 60 } }) } })
