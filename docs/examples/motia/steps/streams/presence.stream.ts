export const config = { name: 'presence', schema: { type: 'object', properties: {} }, baseConfig: { storageType: 'default' } }
