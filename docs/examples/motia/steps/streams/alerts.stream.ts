export const config = { name: 'alerts', schema: { type: 'object', properties: {} }, baseConfig: { storageType: 'default' } }
