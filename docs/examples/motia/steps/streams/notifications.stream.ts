export const config = { name: 'notifications', schema: { type: 'object', properties: {} }, baseConfig: { storageType: 'default' } }
