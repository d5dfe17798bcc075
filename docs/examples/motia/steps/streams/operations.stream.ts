export const config = { name: 'operations', schema: { type: 'object', properties: {} }, baseConfig: { storageType: 'default' } }
