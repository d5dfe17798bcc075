export const config = { name: 'user', schema: { type: 'object', properties: {} }, baseConfig: { storageType: 'default' } }
