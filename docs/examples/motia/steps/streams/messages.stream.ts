export const config = { name: 'messages', schema: { type: 'object', properties: {} }, baseConfig: { storageType: 'default' } }
