export const config = { name: 'metrics', schema: { type: 'object', properties: {} }, baseConfig: { storageType: 'default' } }
