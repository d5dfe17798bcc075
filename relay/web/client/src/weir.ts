// What other modules import from weir.js, which is beside them.
export * from './index'
