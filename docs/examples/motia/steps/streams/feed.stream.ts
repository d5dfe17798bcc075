export const config = { name: 'feed', schema: { type: 'object', properties: {} }, baseConfig: { storageType: 'default' } }
