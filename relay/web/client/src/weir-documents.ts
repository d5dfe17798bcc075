// What other modules import from weir-documents.js, which is beside them.
export * from './documents'
