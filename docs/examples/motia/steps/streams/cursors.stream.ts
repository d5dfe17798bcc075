export const config = { name: 'cursors', schema: { type: 'object', properties: {} }, baseConfig: { storageType: 'default' } }
