export const config = { name: 'typing', schema: { type: 'object', properties: {} }, baseConfig: { storageType: 'default' } }
